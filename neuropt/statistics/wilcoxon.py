"""Wilcoxon's signed-rank test, exact at every n and with ties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuropt.statistics.ranks import ranks


def signed_rank_test(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the two-sided p of pairs under "each difference is as likely to have the other sign".

    W = sum of rank |d_i| over d_i > 0;   p = min(1, 2 min(P(W' <= W), P(W' >= W)))

    Equal pairs are left out, equal sizes share their mean rank, and W' runs over all 2^n signs of the ranks that there are, counted by
    dynamic programming over twice the ranks, which are whole numbers.

    >>> signed_rank_test([2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 1.0, 1.0, 1.0])  # five pairs can never give less
    0.0625

    Source: Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945.
    """
    differences = np.array([x - y for x, y in zip(ones, others, strict=True) if x != y], np.float64)
    if not len(differences):
        return 1.0
    doubled = np.rint(2 * np.asarray(ranks(np.abs(differences).tolist()))).astype(np.int64)
    share = np.zeros(doubled.sum() + 1)  # of the signs with each sum
    share[0] = 1.0
    for rank in doubled.tolist():
        share[rank:] += share[:-rank].copy()
        share /= 2.0
    observed = int(doubled[differences > 0].sum())
    return min(1.0, 2.0 * float(min(share[: observed + 1].sum(), share[observed:].sum())))


def least_p(pairs: int) -> float:
    """Return the smallest p that any two-sided test of so many unequal pairs can give: 2^(1 - n), both ends of all signs.

    >>> least_p(5), least_p(6), least_p(0)
    (0.0625, 0.03125, 1.0)
    """
    return min(1.0, 2.0 ** (1 - pairs))
