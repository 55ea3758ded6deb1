"""Disjoint parts of a data set, the same on every machine and with every library version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 0
"""All shipped tasks are split with this seed; results on other splits are results on another task."""


def split_indices(sizes: Sequence[int], seed: int = SPLIT_SEED) -> list[NDArray[np.intp]]:
    """Deal the numbers 0 .. sum(sizes) - 1 into disjoint parts of the given sizes.

    Example:
        >>> [part.tolist() for part in split_indices((2, 1))]
        [[2, 1], [0]]
    """
    # numpy promises that a bit generator's raw stream never changes; `permutation` may change between versions
    order = np.argsort(np.random.PCG64(seed).random_raw(sum(sizes)), kind="stable")
    return np.split(order, np.cumsum(sizes)[:-1])
