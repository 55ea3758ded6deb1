"""Controllers compared on one table: a row each, with intervals and tests against a reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.comparing.measured import Measured
from neuropt.comparing.statistics import Ratio, median_ratio
from neuropt.evaluating.statistics import Comparison as Paired
from neuropt.evaluating.statistics import Spread, compare, spread
from neuropt.statistics.holm import holm

REFERENCE = "random"
"""What every other controller must beat."""


@dataclass(frozen=True, slots=True)
class Against:
    """A controller against the reference on one measure, paired by seed.

    Args:
        paired: seeds on which it was better, equal, worse; its `p` is the sign test's, not corrected.
        p_holm: corrected for all controllers and measures of the comparison.
    """

    paired: Paired
    p_holm: float


@dataclass(frozen=True, slots=True)
class ControllerRow:
    """One controller on one table; medians over searches with 95 % bootstrap intervals.

    Args:
        controller: as the user named it.
        searches: how many.
        found: share of searches that found a rule of the top.
        first: distinct children until the first, the budget where none was found.
        sooner: median of the reference over median of this one; None for the reference, or without one.
        first_against, chosen_against: tests of `first` and `chosen`; None likewise.
        best: quality of the best rule among the children.
        chosen: quality of the rule with the best reward seen.
        distinct_share: children over proposals.
        entropy_begin, entropy_end: medians of the policy's entropy after the first and the last update, in nats; None without a policy.
        milliseconds: CPU time in the controller, a proposal, median.
    """

    controller: str
    searches: int
    found: float
    first: Spread
    sooner: Ratio | None
    first_against: Against | None
    best: Spread
    chosen: Spread
    chosen_against: Against | None
    distinct_share: Spread
    entropy_begin: float | None
    entropy_end: float | None
    milliseconds: float


def compare_measured(measured: Sequence[Measured]) -> tuple[ControllerRow, ...]:
    """Return a row for each controller, in the order in which they come; seeds must be the same for all."""
    by_controller: dict[str, list[Measured]] = {}
    for one in sorted(measured, key=lambda one: one.seed):
        by_controller.setdefault(one.controller, []).append(one)
    by_controller = {name: by_controller[name] for name in dict.fromkeys(one.controller for one in measured)}
    tests = _tests(by_controller)
    reference = by_controller.get(REFERENCE)
    return tuple(
        ControllerRow(
            controller=name,
            searches=len(searches),
            found=float(np.mean([one.found for one in searches])),
            first=spread([one.first for one in searches]),
            sooner=median_ratio([r.first for r in reference], [one.first for one in searches])
            if reference is not None and name != REFERENCE
            else None,
            first_against=tests.get((name, "first")),
            best=spread([one.best for one in searches]),
            chosen=spread([one.chosen for one in searches]),
            chosen_against=tests.get((name, "chosen")),
            distinct_share=spread([one.distinct_share for one in searches]),
            entropy_begin=_median([one.entropy_begin for one in searches]),
            entropy_end=_median([one.entropy_end for one in searches]),
            milliseconds=float(np.median([one.milliseconds for one in searches])),
        )
        for name, searches in by_controller.items()
    )


def _tests(by_controller: dict[str, list[Measured]]) -> dict[tuple[str, str], Against]:
    """Return the sign tests against the reference, corrected for being several, by controller and measure."""
    reference = by_controller.get(REFERENCE)
    if reference is None:
        return {}
    paired: dict[tuple[str, str], Paired] = {}
    for name, searches in by_controller.items():
        if name != REFERENCE:
            paired[name, "first"] = compare([-_first(one) for one in searches], [-_first(one) for one in reference])
            paired[name, "chosen"] = compare([one.chosen for one in searches], [one.chosen for one in reference])
    corrected = holm([p.p for p in paired.values()])
    return {key: Against(p, p_holm) for (key, p), p_holm in zip(paired.items(), corrected, strict=True)}


def _first(one: Measured) -> float:
    """Return the children until the first rule of the top; never is later than the last child."""
    return one.first if one.found else math.inf


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
