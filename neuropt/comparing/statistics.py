"""Controllers against a reference, seed by seed: how many times sooner, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.evaluating.statistics import COVERAGE, LEAST_FOR_INTERVAL, RESAMPLES


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as large one sample's median is as another's.

    Args:
        value: median / median.
        low, high: 95 % bootstrap interval, pairs drawn together; None for fewer than six pairs.
    """

    value: float
    low: float | None = None
    high: float | None = None


def median_ratio(ones: Sequence[float], others: Sequence[float], seed: int = 0) -> Ratio:
    """Return median(ones) / median(others) of positive values that are paired by seed.

    Args:
        seed: of the resampling.

    >>> median_ratio([8.0, 9.0, 10.0], [2.0, 3.0, 4.0])
    Ratio(value=3.0, low=None, high=None)
    """
    pairs = np.array(list(zip(ones, others, strict=True)), np.float64)  # (pairs, 2)
    over, under = np.median(pairs, axis=0)
    n = len(pairs)
    if n < LEAST_FOR_INTERVAL:
        return Ratio(float(over / under))
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    medians = np.median(pairs[drawn], axis=1)  # (resamples, 2)
    low, high = np.quantile(medians[:, 0] / medians[:, 1], ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return Ratio(float(over / under), float(low), float(high))
