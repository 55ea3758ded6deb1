"""The probability of improvement: how often a run of one optimizer ends above a run of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.evaluating.statistics import COVERAGE, LEAST_FOR_INTERVAL

RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Improvement:
    """How often one is above the other; 0.5 says nothing.

    Args:
        share: P(X > Y) + P(X = Y) / 2.
        low, high: 95 % bootstrap interval; None for fewer than six values of either.
    """

    share: float
    low: float | None = None
    high: float | None = None


def improvement(ones: Sequence[float], others: Sequence[float], seed: int = 0) -> Improvement:
    """Return the share of all pairs (x of ones, y of others) with x > y, ties by half: Mann and Whitney's U over n m.

    >>> improvement([1.0, 3.0], [2.0, 3.0])  # 1 < 2, 1 < 3, 3 > 2, 3 = 3
    Improvement(share=0.375, low=None, high=None)

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021.
    """
    x, y = np.asarray(ones, np.float64), np.asarray(others, np.float64)
    won = (x[:, None] > y) + 0.5 * (x[:, None] == y)  # (n, m)
    if min(len(x), len(y)) < LEAST_FOR_INTERVAL:
        return Improvement(float(won.mean()))
    generator = np.random.default_rng(seed)
    rows, columns = (generator.integers(0, len(z), (RESAMPLES, len(z))) for z in (x, y))
    shares = won[rows[:, :, None], columns[:, None, :]].mean((1, 2))
    low, high = np.quantile(shares, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return Improvement(float(won.mean()), float(low), float(high))
