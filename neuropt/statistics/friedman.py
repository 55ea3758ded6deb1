"""Friedman's test of mean ranks over tasks, and the difference of two mean ranks that is needed to tell two entries apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.statistics.ranks import ranks

PERMUTATIONS = 9_999
NEMENYI = (
    *(1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164, 3.219),
    *(3.268, 3.313, 3.354, 3.391, 3.426, 3.458, 3.489, 3.517, 3.544),
    *(3.569, 3.593, 3.616, 3.637, 3.658, 3.678, 3.696, 3.714, 3.732, 3.749),
    *(3.765, 3.780, 3.795, 3.810, 3.824, 3.837, 3.850, 3.863, 3.876, 3.888),
)
"""The studentized range at .05 over sqrt 2, for 2 .. 40 entries (to 10: Demsar, "Statistical comparisons of classifiers", JMLR 2006)."""


@dataclass(frozen=True, slots=True)
class Friedman:
    """Entries compared over tasks.

    Args:
        mean_ranks: of each entry, 1 for the best.
        chi2: the statistic, corrected for ties; 0 where all values are equal.
        p: of a seeded permutation of each task's ranks, which unlike the chi-squared distribution holds for few tasks.
        critical_difference: two mean ranks that are further apart differ at .05 (Nemenyi); None for more than 40 entries.
    """

    mean_ranks: tuple[float, ...]
    chi2: float
    p: float
    critical_difference: float | None


def friedman(values: Sequence[Sequence[float]], seed: int = 0) -> Friedman:
    """Compare entries by their ranks on each task.

    chi2 = 12 N / (k (k + 1)) sum_j (R_j - (k + 1)/2)^2 / (1 - ties),   N tasks, k entries, R_j mean ranks
    CD = q_.05 sqrt(k (k + 1) / (6 N))

    Args:
        values: a row a task, a column an entry; lower is better.
        seed: of the permutations.

    >>> friedman([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]).mean_ranks
    (1.0, 2.0, 3.0)

    Source: Friedman, "The use of ranks to avoid the assumption of normality", JASA 32, 1937.
    """
    table = np.array([ranks(row) for row in values])  # (tasks, entries)
    tasks, entries = table.shape
    spread = ((table - (entries + 1) / 2) ** 2).sum() / (tasks * (entries - 1)) if entries > 1 else 0.0

    def statistic(
        sums: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        squares = ((sums / tasks - (entries + 1) / 2) ** 2).sum(-1)
        return np.asarray(tasks * squares / spread)

    means = tuple(float(mean) for mean in table.mean(0))
    if spread == 0.0:
        return Friedman(means, 0.0, 1.0, None)
    observed = float(statistic(table.sum(0)))
    generator = np.random.default_rng(seed)
    drawn = np.zeros((PERMUTATIONS, entries))
    for row in table:
        drawn += generator.permuted(np.broadcast_to(row, drawn.shape), axis=1)
    p = (1 + int((statistic(drawn) >= observed - 1e-9).sum())) / (1 + PERMUTATIONS)
    known = 2 <= entries <= len(NEMENYI) + 1
    critical = NEMENYI[entries - 2] * math.sqrt(entries * (entries + 1) / (6 * tasks)) if known else None
    return Friedman(means, observed, p, critical)
