"""Wilcoxon's signed-rank test, exact at every n and with ties."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from neuropt.statistics.ranks import ranks

FLOAT32 = 2.0**-24
"""By which share of itself a number is rounded, at most."""


def signed_rank_test(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the two-sided p of pairs under "each difference is as likely to have the other sign".

    W = sum of rank |d_i| over d_i > 0;   p = min(1, 2 min(P(W' <= W), P(W' >= W)))

    Equal pairs are left out, sizes that are equal but for the rounding of float32 share their mean rank (two accuracies one example apart
    differ by 1/n, wherever they are), and W' runs over all 2^n signs of the ranks that there are, counted by
    dynamic programming over twice the ranks, which are whole numbers.

    >>> signed_rank_test([2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 1.0])  # five pairs can never give less
    0.0625

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
    """
    pairs = [(x, y) for x, y in zip(ones, others, strict=True) if x != y]
    if not pairs:
        return 1.0
    differences = np.array([x - y for x, y in pairs], np.float64)
    doubled = np.rint(2 * np.asarray(ranks(_levelled(pairs)))).astype(np.int64)
    share = np.zeros(doubled.sum() + 1)  # of the signs with each sum
    share[0] = 1.0
    for rank in doubled.tolist():
        share[rank:] += share[:-rank].copy()
        share /= 2.0
    observed = int(doubled[differences > 0].sum())
    return min(1.0, 2.0 * float(min(share[: observed + 1].sum(), share[observed:].sum())))


def _levelled(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """Return |x - y| of each pair; one that is above the next smaller one by less than both are rounded by is set to that one's."""
    sizes = [abs(x - y) for x, y in pairs]
    rounding = [FLOAT32 * max(abs(x), abs(y)) for x, y in pairs]
    order = sorted(range(len(sizes)), key=lambda i: sizes[i])
    found = list(sizes)
    for before, i in pairwise(order):
        if sizes[i] - sizes[before] <= rounding[i] + rounding[before]:
            found[i] = found[before]
    return found


def least_p(pairs: int) -> float:
    """Return the smallest p that any two-sided test of so many unequal pairs can give: 2^(1 - n), both ends of all signs.

    >>> least_p(5), least_p(6), least_p(0)
    (0.0625, 0.03125, 1.0)
    """
    return min(1.0, 2.0 ** (1 - pairs))
