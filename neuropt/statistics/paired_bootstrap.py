"""An interval for what two optimizers differ by, where both ran on the same seeds: whole pairs are drawn again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.evaluating.statistics import COVERAGE, LEAST_FOR_INTERVAL, RESAMPLES


@dataclass(frozen=True, slots=True)
class Difference:
    """What one sample is above another by.

    Args:
        median: of the paired differences.
        low, high: 95 % bootstrap interval; None for fewer than six pairs.
    """

    median: float
    low: float | None = None
    high: float | None = None


def paired_difference(ones: Sequence[float], others: Sequence[float], seed: int = 0) -> Difference:
    """Return the median of ones - others, pair by pair, with its 95 % percentile bootstrap interval.

    >>> paired_difference([3.0, 5.0, 9.0], [1.0, 4.0, 2.0])
    Difference(median=2.0, low=None, high=None)

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    differences = np.array([x - y for x, y in zip(ones, others, strict=True)], np.float64)
    median, n = float(np.median(differences)), len(differences)
    if n < LEAST_FOR_INTERVAL:
        return Difference(median)
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    low, high = np.quantile(np.median(differences[drawn], axis=1), ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return Difference(median, float(low), float(high))
