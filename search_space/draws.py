"""Random numbers as a function: the same integers wherever a rule runs, with no state but seed and t.

`noise` and `drop` need random numbers that a numpy interpreter, a torch optimizer, a population of children and an exported file all
agree on, also after a restart. So each number is a hash of (seed, parameter index, draw, t, element):

    key_k   = mix(... mix(mix(seed) ^ parameter) ... ^ t ^ k)           two 32-bit keys for each tensor and step, k = 0, 1
    bits    = mix(mix(element + key_0) ^ key_1)                         one 32-bit integer for each element
    uniform = (bits + 1/2) / 2^32                                       strictly inside (0, 1)
    normal  = sqrt(-2 log uniform_a) cos(2 pi uniform_b)                Box and Muller 1958

`mix` is the finaliser "lowbias32" (C. Wellons, "Hash function prospector", 2018, public domain): a bijection of 32-bit integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFF
FIRST, SECOND = 0x7FEB352D, 0x846CA68B
GOLDEN = 0x9E3779B9


def mix(x: int) -> int:
    """Scramble one 32-bit integer.

    >>> hex(mix(1))
    '0x688990c0'
    """
    x = ((x ^ (x >> 16)) * FIRST) & MASK
    x = ((x ^ (x >> 15)) * SECOND) & MASK
    return x ^ (x >> 16)


def keys(seed: int, parameter: int, draw: int, t: int, stream: int) -> tuple[int, int]:
    """Return the two keys of one tensor's numbers at one step; `stream` separates the two uniforms behind a normal."""
    key = 0
    for part in (seed & MASK, (seed >> 32) & MASK, parameter, draw, t, stream):
        key = mix(((key ^ part) + GOLDEN) & MASK)
    return key, mix((key + GOLDEN) & MASK)


def _mix_array(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mask = np.uint64(MASK)
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(FIRST)) & mask
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(SECOND)) & mask
    return x ^ (x >> np.uint64(16))


def uniform(count: int, seed: int, parameter: int, draw: int, t: int, stream: int = 0) -> NDArray[np.float64]:
    """Return `count` numbers in (0, 1), one for each element of a flattened tensor.

    Args:
        count: elements.
        seed: 64 bits of it count.
        parameter: the index of the tensor among those of the optimizer, over all its groups.
        draw: which `noise` or `drop` of the rule.
        t: steps done before this one.
        stream: 0, or 1 for the second uniform of a normal.
    """
    key_0, key_1 = keys(seed, parameter, draw, t, stream)
    element = np.arange(count, dtype=np.uint64)
    bits = _mix_array(_mix_array((element + np.uint64(key_0)) & np.uint64(MASK)) ^ np.uint64(key_1))
    return (bits.astype(np.float64) + 0.5) / 2.0**32


def normal(count: int, seed: int, parameter: int, draw: int, t: int) -> NDArray[np.float64]:
    """Return `count` numbers from N(0, 1); arguments as for `uniform`."""
    radius = np.sqrt(-2.0 * np.log(uniform(count, seed, parameter, draw, t, 0)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(count, seed, parameter, draw, t, 1)))
