"""What tuning is worth: the expected best of k trials."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb


def best_of_k(values: Sequence[float]) -> list[float]:
    """Return the expected largest of k values drawn without replacement, for k = 1 .. n.

    E max_k = sum_i C(i - 1, k - 1) / C(n, k) x_(i),   x_(1) <= ... <= x_(n)

    The last one is the largest of all, the first is the mean.

    >>> best_of_k([1.0, 3.0, 2.0])  # the mean; of {1,2}, {1,3}, {2,3}: 2, 3, 3; all three
    [2.0, 2.6666666666666665, 3.0]

    Source: Dodge et al., "Show your work: improved reporting of experimental results", EMNLP 2019, here without replacement.
    """
    ordered, n = sorted(values), len(values)
    return [sum(comb(i, k - 1) * x for i, x in enumerate(ordered)) / comb(n, k) for k in range(1, n + 1)]
