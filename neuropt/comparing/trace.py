"""What one search on a table did, child by child; everything that is said of a controller is computed from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuropt.tables.table import Judgement

Ended = Literal["budget", "exhausted", "proposals"]
"""Why a search on a table came to its end: enough children, long no new rule, or too many proposals for a new rule."""


@dataclass(frozen=True, eq=False)
class Trace:
    """One search on a table.

    Args:
        controller: who proposed, as the user named it.
        seed: of the controller.
        seen: the column of the table's seeds whose rewards it was told.
        children: rules of the table in the order in which they were trained, each once, (children,).
        proposal: how many proposals had been made when each of them was proposed, itself included, (children,).
        proposals, duplicates, rejected, failed: counts of all that was proposed.
        entropy: of the policy after each trial, in nats, (trials,); empty without a policy.
        trial_ends: children so far at the end of each trial, (trials,).
        seconds: CPU time in the controller, asking and telling.
        ended: why.
    """

    controller: str
    seed: int
    seen: int
    children: NDArray[np.int64]
    proposal: NDArray[np.int64]
    proposals: int
    duplicates: int
    rejected: int
    failed: int
    entropy: NDArray[np.float64]
    trial_ends: NDArray[np.int64]
    ended: Ended
    seconds: float = field(default=0.0)

    @property
    def distinct_share(self) -> float:
        """Distinct rules that cost a training, over proposals."""
        return len(self.children) / self.proposals

    @property
    def milliseconds(self) -> float:
        """CPU time in the controller, a proposal."""
        return 1e3 * self.seconds / self.proposals


def first_hit(children: NDArray[np.int64], top: NDArray[np.int64]) -> int | None:
    """Return how many distinct children it took until the first of some rules was among them, or None if none was.

    >>> first_hit(np.array([7, 3, 9, 4]), top=np.array([4, 9]))
    3
    """
    hits = np.flatnonzero(np.isin(children, top))
    return int(hits[0]) + 1 if hits.size else None


def best_so_far(children: NDArray[np.int64], judged: Judgement) -> NDArray[np.float64]:
    """Return the best quality among the children so far, after each of them: what a perfect choice of finalists could still take."""
    return np.maximum.accumulate(judged.qualities[children])


def chosen_so_far(children: NDArray[np.int64], judged: Judgement) -> NDArray[np.float64]:
    """Return the quality of the rule that the search itself would name, after each child.

    It is the one with the best reward seen; among equal rewards, which accuracies often are, the first.
    """
    rewards = judged.rewards[children]
    ahead = rewards > np.concatenate([[-np.inf], np.maximum.accumulate(rewards)[:-1]])
    return judged.qualities[children[np.maximum.accumulate(np.where(ahead, np.arange(len(children)), 0))]]


def at_counts(
    values: NDArray[np.float64], reached: NDArray[np.int64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the value in force at each count: the last whose `reached` is not beyond it; NaN before the first.

    >>> at_counts(np.array([0.5, 0.9]), reached=np.array([2, 5]), counts=np.array([1, 2, 4, 9])).tolist()
    [nan, 0.5, 0.5, 0.9]
    """
    if not values.size:
        return np.full(len(counts), np.nan)
    places = np.searchsorted(reached, counts, side="right") - 1
    return np.where(places >= 0, values[np.maximum(places, 0)], np.nan)
