"""Learning curves: validation along the training of a cohort, and the seconds that training took without it."""

from __future__ import annotations

import time
from math import isnan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuropt.training.children import Cohort

Point = tuple[float, float | None]
"""Validation loss, and accuracy where there is one."""


def evaluation_steps(steps: int, evaluations: int) -> tuple[int, ...]:
    """Return the steps after which a child is evaluated: evenly spread, the last one at the end, and 0 before the first.

    >>> evaluation_steps(150, 4)
    (0, 38, 75, 112, 150)
    >>> evaluation_steps(2, 20), evaluation_steps(150, 0)
    ((0, 1, 2), ())
    """
    if evaluations < 1:
        return ()
    return tuple(sorted({round(steps * i / evaluations) for i in range(evaluations + 1)}))


class Curves:
    """What is noted of each column (rule, learning rate) of a cohort on the way.

    Args:
        split: what children are evaluated on.
    """

    def __init__(self, split: Any) -> None:
        self.split = split
        self.points: dict[tuple[int, int], list[list[Point]]] = {}
        self.seconds: dict[tuple[int, int], float] = {}

    def advance(self, cohort: Cohort[Any], steps: int) -> None:
        """Train for so many steps, and share the seconds evenly."""
        began = time.perf_counter()
        cohort.advance(steps)
        share = (time.perf_counter() - began) / (len(cohort.columns) * len(cohort.seeds))
        for column in cohort.columns:
            key = column.rule, column.rate
            self.seconds[key] = self.seconds.get(key, 0.0) + share

    def evaluate(self, cohort: Cohort[Any]) -> None:
        """Add a point to the curve of every child that has not diverged."""
        losses, accuracies = (x.tolist() for x in cohort.evaluate(self.split))
        alive = cohort.losses.alive.tolist()
        for c, column in enumerate(cohort.columns):
            curves = self.points.setdefault((column.rule, column.rate), [[] for _ in cohort.seeds])
            for s, curve in enumerate(curves):
                if alive[s][c] and losses[s][c] <= cohort.losses.bound:
                    share = accuracies[s][c]
                    curve.append((losses[s][c], None if isnan(share) else share))

    def of(self, column: tuple[int, int], seed: int) -> tuple[Point, ...]:
        """Return the points of one child so far."""
        return tuple(self.points[column][seed]) if column in self.points else ()
