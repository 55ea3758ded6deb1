"""The random numbers of `noise` and `drop` on torch tensors: the same integers as `search_space.draws`, wherever the tensor lives.

    bits    = mix(mix(element + key_0) ^ key_1)                         one 32-bit integer for each element, held in int64
    uniform = (bits + 1/2) / 2^32
    normal  = sqrt(-2 log uniform_a) cos(2 pi uniform_b)

Keys are Python integers for one tensor, or int64 tensors that broadcast against the elements, for populations.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from search_space.draws import FIRST, MASK, SECOND, keys

Key = int | Tensor


def _mix(x: Tensor) -> Tensor:
    """Scramble 32-bit integers in place. Products wrap modulo 2^64, which leaves their lower 32 bits as they should be."""
    x ^= x >> 16
    x *= FIRST
    x &= MASK
    x ^= x >> 15
    x *= SECOND
    x &= MASK
    x ^= x >> 16
    return x


def uniform_from_keys(element: Tensor, key_0: Key, key_1: Key) -> Tensor:
    """Return numbers in (0, 1), float64.

    Args:
        element: int64, the index of each element within its flattened tensor.
        key_0: first key of `search_space.draws.keys`, an integer or an int64 tensor that broadcasts against `element`.
        key_1: second key, likewise.
    """
    bits = _mix(_mix((element + key_0) & MASK) ^ key_1)
    return bits.to(torch.float64).add_(0.5).mul_(2.0**-32)


def normal_from_uniforms(a: Tensor, b: Tensor) -> Tensor:
    """Return sqrt(-2 log a) cos(2 pi b): standard normals from two independent uniforms, in their own memory."""
    return a.log_().mul_(-2.0).sqrt_().mul_(b.mul_(2.0 * math.pi).cos_())


def uniform(
    count: int, seed: int, parameter: int, draw: int, t: int, stream: int = 0, device: torch.device | None = None
) -> Tensor:
    """Return `count` numbers in (0, 1), float64; the arguments are those of `search_space.draws.uniform`.

    >>> uniform(2, seed=0, parameter=0, draw=0, t=0).shape
    torch.Size([2])
    """
    element = torch.arange(count, dtype=torch.int64, device=device)
    return uniform_from_keys(element, *keys(seed, parameter, draw, t, stream))


def normal(count: int, seed: int, parameter: int, draw: int, t: int, device: torch.device | None = None) -> Tensor:
    """Return `count` numbers from N(0, 1), float64; arguments as for `uniform`."""
    a, b = (uniform(count, seed, parameter, draw, t, stream, device) for stream in (0, 1))
    return normal_from_uniforms(a, b)


def drawn_like(tensor: Tensor, function: str, seed: int, parameter: int, draw: int, t: int) -> Tensor:
    """Return what the primitive `function` (`noise` or `drop`) draws for a tensor, in its shape and dtype and on its device."""
    source = normal if function == "noise" else uniform
    return source(tensor.numel(), seed, parameter, draw, t, device=tensor.device).to(tensor.dtype).view(tensor.shape)
