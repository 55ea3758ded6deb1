"""What a sample of seeds says, and what it is too small to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
COVERAGE = 0.95
LEAST_FOR_INTERVAL = 6
"""The range of n values holds the median with probability 1 - 2^(1 - n), which passes 95 % at n = 6."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A sample in five numbers.

    Args:
        median, q1, q3: quartiles.
        low, high: 95 % bootstrap interval of the median; None for fewer than six values, which cannot support one.
    """

    median: float
    q1: float
    q3: float
    low: float | None = None
    high: float | None = None


def spread(values: Sequence[float], seed: int = 0) -> Spread:
    """Return the quartiles of finite values, and an interval of their median.

    >>> spread([4.0, 1.0, 3.0, 2.0])
    Spread(median=2.5, q1=1.75, q3=3.25, low=None, high=None)
    """
    q1, median, q3 = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    interval = median_interval(values, seed)
    return Spread(median, q1, q3, *interval) if interval else Spread(median, q1, q3)


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of the median, or None for fewer than six values.

    Args:
        seed: of the resampling.
    """
    n = len(values)
    if n < LEAST_FOR_INTERVAL:
        return None
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    medians = np.median(np.asarray(values, np.float64)[drawn], axis=1)
    low, high = np.quantile(medians, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two optimizers on the same seeds.

    Args:
        wins, ties, losses: seeds on which the first is better, equal, worse.
        p: of the two-sided sign test without the ties, exact; not corrected for how many pairs one looks at.
    """

    wins: int
    ties: int
    losses: int
    p: float

    @property
    def words(self) -> str:
        """What may be said: no difference is claimed that so few seeds could not show, however they fell."""
        n = self.wins + self.losses
        counted = f"ahead on {self.wins} seeds, behind on {self.losses}, equal on {self.ties}"
        if n == 0 or 2.0 ** (1 - n) > 1 - COVERAGE:
            return f"{counted}: {n} unequal pairs can never give p under {min(1.0, 2.0 ** (1 - n)):.3g}; nothing is claimed"
        verdict = "differs" if self.p <= 1 - COVERAGE else "no difference shown"
        return f"{counted}: {verdict} (sign test, p = {self.p:.3g}, n = {n})"


def compare(ones: Sequence[float], others: Sequence[float]) -> Comparison:
    """Compare values of the same seeds, higher is better.

    >>> compare([0.9, 0.8, 0.7], [0.8, 0.8, 0.6])
    Comparison(wins=2, ties=1, losses=0, p=0.5)
    """
    pairs = list(zip(ones, others, strict=True))
    wins, losses = sum(x > y for x, y in pairs), sum(x < y for x, y in pairs)
    return Comparison(wins, len(pairs) - wins - losses, losses, sign_test(wins, losses))


def sign_test(wins: int, losses: int) -> float:
    """Return the exact two-sided p of so many wins and losses under fair coins.

    p = min(1, 2 sum_(k <= min(wins, losses)) C(n, k) / 2^n)

    >>> sign_test(5, 0)  # five pairs can never give less
    0.0625
    """
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, tail * 2.0 ** (1 - n))
