"""A curve with its uncertainty: what the searches of one controller had come to at each count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuropt.comparing.measured import Curves
from neuropt.evaluating.statistics import COVERAGE, LEAST_FOR_INTERVAL

Across = Literal["children", "proposals"]
RESAMPLES = 1_000
"""A band has fifty intervals; their ends move by a few thousandths of their width with more."""


@dataclass(frozen=True, eq=False)
class Band:
    """One measure of one controller.

    Args:
        controller: as the user named it.
        measure: best, chosen (qualities), found (share of searches), or entropy (nats).
        across: what `at` counts.
        at: counts, only those that every search reached.
        middle: median over searches; of `found` the mean.
        low, high: 95 % bootstrap interval; None for fewer than six searches.
    """

    controller: str
    measure: str
    across: Across
    at: NDArray[np.int64]
    middle: NDArray[np.float64]
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield the points as records."""
        for i, at in enumerate(self.at.tolist()):
            low = None if self.low is None else float(self.low[i])
            high = None if self.high is None else float(self.high[i])
            yield {
                "controller": self.controller,
                "measure": self.measure,
                "across": self.across,
                "at": at,
                "middle": float(self.middle[i]),
                "low": low,
                "high": high,
            }


def bands(controller: str, searches: Sequence[Curves]) -> list[Band]:
    """Return all curves of one controller's searches."""
    one = searches[0]
    measures: list[tuple[str, Across, NDArray[np.int64], list[NDArray[np.float64]]]] = [
        ("best", "children", one.children, [s.by_children for s in searches]),
        ("best", "proposals", one.proposals, [s.by_proposals for s in searches]),
        ("chosen", "children", one.children, [s.chosen for s in searches]),
        ("found", "children", one.children, [s.found for s in searches]),
        ("entropy", "children", one.children, [s.entropy for s in searches]),
    ]
    found = (_band(controller, *measure) for measure in measures)
    return [band for band in found if band.at.size]


def _band(
    controller: str, measure: str, across: Across, at: NDArray[np.int64], searches: list[NDArray[np.float64]]
) -> Band:
    values = np.array(searches)  # (searches, counts)
    reached = ~np.isnan(values).any(axis=0)
    at, values = at[reached], values[:, reached]
    average = np.mean if measure == "found" else np.median
    middle = average(values, axis=0)
    if len(values) < LEAST_FOR_INTERVAL:
        return Band(controller, measure, across, at, middle, None, None)
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    again = np.array([average(values[rows], axis=0) for rows in drawn])  # (resamples, counts)
    low, high = np.quantile(again, ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2), axis=0)
    return Band(controller, measure, across, at, middle, low, high)
