"""Whether rungs judge as full training does: the rank correlation of the rewards at each rung with those at the end.

Rules that won their way to the end are a selection: among them the correlation is lower than it is, since those that a rung threw out are
missing. The control group, drawn before training and trained to the end whatever the rungs say, is fair. Rules that had diverged before a
rung were not judged there; they have one value, the worst, and would agree with themselves, so they are counted and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.searching.ledger_rows import ClimbedRule

LEAST = 3
"""So many rules make a correlation; with two it is 1 or -1 whatever they are."""


@dataclass(frozen=True, slots=True)
class RungReport:
    """What a rung has done in a search.

    Args:
        fidelity: share of the budget.
        stopped: rules that stopped there.
        correlation: Spearman's, of rewards there with those of full training, over the control group; None where it says nothing.
        control: rules in it that the rung judged.
        unjudged: rules in it that had diverged before.
        selected_correlation: likewise over the rules that won their way to the end.
        selected: of those.
    """

    fidelity: float
    stopped: int
    correlation: float | None
    control: int
    unjudged: int
    selected_correlation: float | None
    selected: int


def report_rungs(rules: Sequence[ClimbedRule]) -> list[RungReport]:
    """Return what each rung of a search has done, the earliest first; nothing for a search without rungs."""
    fidelities = sorted({fidelity for rule in rules for fidelity in rule.fidelities})
    full = [rule for rule in rules if rule.fidelity == 1.0]
    found = []
    for fidelity in fidelities:
        judged = [rule for rule in full if fidelity in rule.fidelities]
        control = [_pair(rule, fidelity) for rule in judged if rule.control]
        selected = [_pair(rule, fidelity) for rule in judged if not rule.control]
        unjudged = sum(rule.control for rule in full) - len(control)
        stopped = sum(rule.fidelity == fidelity for rule in rules)
        correlations = spearman(control), spearman(selected)
        found.append(
            RungReport(fidelity, stopped, correlations[0], len(control), unjudged, correlations[1], len(selected))
        )
    return found


def _pair(rule: ClimbedRule, fidelity: float) -> tuple[float, float]:
    """Return a rule's reward at a rung and at the end."""
    return rule.rewards[rule.fidelities.index(fidelity)], rule.reward


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Return the correlation of the ranks of paired values, equal ones sharing the mean of their ranks.

    None for fewer than three pairs, or where all values of one kind are equal.

    >>> spearman([(0.1, 0.5), (0.2, 0.7), (0.4, 0.6)])
    0.5
    """
    if len(pairs) < LEAST:
        return None
    ones, others = (_ranks(values) for values in zip(*pairs, strict=True))
    if np.ptp(ones) == 0 or np.ptp(others) == 0:
        return None
    return round(float(np.corrcoef(ones, others)[0, 1]), 12)


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") + 1) / 2


def rung_lines(reports: Sequence[RungReport], trained: int) -> list[str]:
    """Return the reports as lines for people.

    Args:
        trained: rules of the search.
    """
    if not reports:
        return []
    group = reports[0].control + reports[0].unjudged
    full = trained - sum(report.stopped for report in reports)
    parts = [f"{report.stopped} rules stopped at {report.fidelity:.0%}" for report in reports]
    return [
        f"{', '.join(parts)} of the budget; {full} trained in full, {group} of them the control group",
        *(
            f"rewards at {report.fidelity:.0%} and in full: Spearman {_said(report.correlation)} over the control group "
            f"({_counted(report)}); {_said(report.selected_correlation)} over the rules that won their way (n = "
            f"{report.selected}), a selection"
            for report in reports
        ),
    ]


def _said(correlation: float | None) -> str:
    return "unknown" if correlation is None else f"{correlation:.2f}"


def _counted(report: RungReport) -> str:
    without = f", without {report.unjudged} that diverged before" if report.unjudged else ""
    return f"n = {report.control}{without}"
