"""The interquartile mean: the mean of the middle half, which outliers do not move and which uses more of a sample than the median."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuropt.evaluating.statistics import COVERAGE, LEAST_FOR_INTERVAL, RESAMPLES


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of what is left when a quarter of the weight is cut at each end; values at the cuts count in part.

    iqm = 2/n sum_i w_i x_(i),   w_i = length of [i - 1, i] inside [n/4, 3n/4]

    >>> interquartile_mean([0.0, 1.0, 3.0, 1000.0])  # the middle two
    2.0
    >>> interquartile_mean([0.0, 1.0, 2.0, 3.0, 4.0])  # 0.75 of the 1, the 2, 0.75 of the 3, over 2.5
    2.0

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021.
    """
    return float(_means(np.sort(np.asarray(values, np.float64))[None])[0])


def iqm_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of the interquartile mean, or None for fewer than six values."""
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        return None
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    means = _means(np.sort(np.asarray(values, np.float64)[drawn], axis=1))
    low, high = np.quantile(means, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return float(low), float(high)


def _means(ordered: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    n = ordered.shape[1]
    ends = np.arange(n + 1, dtype=np.float64).clip(n / 4, 3 * n / 4)
    return np.asarray(ordered @ np.diff(ends) * (2 / n))
