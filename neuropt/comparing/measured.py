"""What one search on a table came to, and its curves at common counts of children and proposals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuropt.comparing.trace import Trace, at_counts, best_so_far, chosen_so_far, first_hit
from neuropt.tables.table import Judgement, Table

POINTS = 50
"""Counts at which curves are given."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One search on a table, in numbers: a line of `searches.csv`.

    Args:
        controller, seed, seen: which search it was.
        ended: budget, exhausted or proposals.
        children, proposals, duplicates, rejected, failed: counts.
        first: distinct children until the first rule of the top; the budget if none was found.
        found: whether one was.
        best: quality of the best rule among the children.
        chosen: quality of the rule with the best reward seen, which the search itself would name.
        rule: that rule.
        distinct_share: children / proposals.
        entropy_begin, entropy_end: of the policy after its first and last update, in nats; None without a policy.
        milliseconds: CPU time in the controller, a proposal.
    """

    controller: str
    seed: int
    seen: int
    ended: str
    children: int
    proposals: int
    duplicates: int
    rejected: int
    failed: int
    first: int
    found: bool
    best: float
    chosen: float
    rule: str
    distinct_share: float
    entropy_begin: float | None
    entropy_end: float | None
    milliseconds: float


def measure(trace: Trace, table: Table, judged: Judgement, top: NDArray[np.int64], budget: int) -> Measured:
    """Return the numbers of a search."""
    first = first_hit(trace.children, top)
    chosen = chosen_so_far(trace.children, judged)
    best_reward = int(judged.rewards[trace.children].argmax())
    return Measured(
        controller=trace.controller,
        seed=trace.seed,
        seen=trace.seen,
        ended=trace.ended,
        children=len(trace.children),
        proposals=trace.proposals,
        duplicates=trace.duplicates,
        rejected=trace.rejected,
        failed=trace.failed,
        first=budget if first is None else first,
        found=first is not None,
        best=float(best_so_far(trace.children, judged)[-1]),
        chosen=float(chosen[-1]),
        rule="; ".join(table.rules[trace.children[best_reward]].splitlines()),
        distinct_share=trace.distinct_share,
        entropy_begin=float(trace.entropy[0]) if trace.entropy.size else None,
        entropy_end=float(trace.entropy[-1]) if trace.entropy.size else None,
        milliseconds=trace.milliseconds,
    )


@dataclass(frozen=True, eq=False)
class Curves:
    """One search at common counts; NaN where it has no value yet, or no policy.

    Args:
        children: counts of distinct children.
        proposals: counts of proposals.
        by_children, by_proposals: quality of the best child so far; NaN beyond the last proposal of the search.
        chosen: quality of what the search would name, at the counts of children.
        found: 1 where a rule of the top was among them, else 0.
        entropy: of the policy.
    """

    children: NDArray[np.int64]
    proposals: NDArray[np.int64]
    by_children: NDArray[np.float64]
    by_proposals: NDArray[np.float64]
    chosen: NDArray[np.float64]
    found: NDArray[np.float64]
    entropy: NDArray[np.float64]


def counts(last: int) -> NDArray[np.int64]:
    """Return at most `POINTS` evenly spaced counts up to the last.

    >>> counts(100)[:3].tolist()
    [2, 4, 6]
    """
    return np.unique(np.linspace(0, last, POINTS + 1)[1:].astype(np.int64).clip(min=1))


def curves(trace: Trace, judged: Judgement, top: NDArray[np.int64], budget: int) -> Curves:
    """Return the curves of a search; they go on level after its last child, and end with its last proposal."""
    numbers = np.arange(1, len(trace.children) + 1)
    best = best_so_far(trace.children, judged)
    first = first_hit(trace.children, top)
    children, proposals = counts(budget), counts(2 * budget)
    by_proposals = at_counts(best, trace.proposal, proposals)
    return Curves(
        children=children,
        proposals=proposals,
        by_children=at_counts(best, numbers, children),
        by_proposals=np.where(proposals <= trace.proposals, by_proposals, np.nan),
        chosen=at_counts(chosen_so_far(trace.children, judged), numbers, children),
        found=np.array(children >= (budget + 1 if first is None else first), np.float64),
        entropy=at_counts(trace.entropy, trace.trial_ends, children),
    )
