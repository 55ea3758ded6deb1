"""What a child came to, in its task's metric: at the end, at its best, and how soon it reached the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neuropt.config import Reward
from neuropt.evaluating.row import WORST_ACCURACY
from neuropt.tasks.task import Task
from neuropt.training.children import Child
from neuropt.training.curves import Point, evaluation_steps


@dataclass(frozen=True, slots=True)
class Measure:
    """The metric of a task: accuracy, of which more is better, or the loss, of which less is.

    Args:
        task: whose children are measured.
        metric: accuracy or loss.
    """

    task: Task
    metric: Reward

    @property
    def higher_is_better(self) -> bool:
        """Its direction."""
        return self.metric == "accuracy"

    @property
    def worst(self) -> float:
        """What a diverged child counts as: accuracy 0, or the task's bound of the loss."""
        return WORST_ACCURACY if self.metric == "accuracy" else self.task.loss_bound

    def merit(self, value: float) -> float:
        """Return a value so that more is better."""
        return value if self.higher_is_better else -value

    def final(self, child: Child) -> float:
        """Return what a child came to on validation; the worst if it did not come to the end."""
        return self._number(child, "")

    def test(self, child: Child) -> float:
        """Return what a child came to on test; the worst if it did not come to the end."""
        return self._number(child, "test_")

    def _number(self, child: Child, prefix: str) -> float:
        number: float | None = getattr(child, prefix + self.metric)
        return float(number) if child.status == "trained" and number is not None else self.worst

    def curve(self, child: Child) -> list[float]:
        """Return the validation metric at the evaluation points that the child reached."""
        return [self._at(point) for point in child.curve]

    def _at(self, point: Point) -> float:
        loss, share = point
        return loss if self.metric == "loss" else self.worst if share is None else share

    def best(self, child: Child) -> float | None:
        """Return the best of the curve, the worst there is where it diverged; None for a trained child without a curve."""
        if child.status != "trained":
            return self.worst
        curve = self.curve(child)
        return (max if self.higher_is_better else min)(curve) if curve else None

    def steps_to(self, target: float, child: Child, evaluations: int, consecutive: int) -> float:
        """Return the first step of so many evaluations in a row that reach the target; infinity for a miss, and where it diverged.

        They are compared at five digits, as archived curves have them: 770 of 1,000 reach 0.77, although in float32 they are below it.
        """
        steps = evaluation_steps(self.task.steps, evaluations)
        reached = [self.merit(five_digits(value)) >= self.merit(five_digits(target)) for value in self.curve(child)]
        if child.status != "trained":
            return math.inf
        return first_run(steps, reached, consecutive)


def five_digits(value: float) -> float:
    """Return a number with five digits.

    >>> five_digits(0.7699999809265137)
    0.77
    """
    return float(f"{value:.5g}")


def first_run(steps: Sequence[int], reached: Sequence[bool], consecutive: int) -> float:
    """Return the step at which the first run of so many successes begins, or infinity.

    >>> first_run([0, 10, 20, 30, 40], [False, True, False, True, True], 2)
    30.0
    >>> first_run([0, 10, 20], [False, False, True], 2)
    inf
    """
    for i in range(len(reached) - consecutive + 1):
        if all(reached[i : i + consecutive]):
            return float(steps[i])
    return math.inf
