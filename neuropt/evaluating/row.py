"""A row of a table: one optimizer on one task, tuned and reported."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuropt.config import Reward
from neuropt.evaluating.statistics import Spread, spread
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.metrics import merit
from neuropt.tasks.task import Task
from neuropt.training.children import Child

WORST_ACCURACY = 0.0
NUMBERS = ("accuracy", "loss", "test_accuracy", "test_loss")


@dataclass(frozen=True, slots=True)
class Row:
    """One optimizer on one task. A diverged child counts as the worst there is: accuracy 0 and the task's bound of the loss.

    Args:
        task: name.
        optimizer: name.
        rule: its rule on one line, or None where the name says it.
        metric: what the learning rate was chosen by and rows are ordered by, on validation.
        learning_rate: the best in tuning.
        edge: whether it is the lowest or highest that was tried, so that a better one may lie beyond.
        rates, tune_seeds: the budget of tuning.
        n: seeds of the report.
        diverged: how many of them diverged.
        accuracy, loss: on validation; None if it failed, accuracy also on a task whose metric is the loss.
        test_accuracy, test_loss: likewise on test, for the reader only: nothing is chosen or ordered by them.
        searched: whether a search found it on this very task, which is then no evidence.
        failure: why it could not be trained, or None.
        schedule: of the learning rate, which is the one that it starts with.
    """

    task: str
    optimizer: str
    rule: str | None
    metric: Reward
    learning_rate: float | None
    edge: bool
    rates: int
    tune_seeds: int
    n: int
    diverged: int
    accuracy: Spread | None
    loss: Spread | None
    test_accuracy: Spread | None
    test_loss: Spread | None
    searched: bool = False
    failure: str | None = None
    schedule: str = CONSTANT

    @property
    def validation(self) -> Spread | None:
        """The metric on validation."""
        return self.accuracy if self.metric == "accuracy" else self.loss

    @property
    def test(self) -> Spread | None:
        """The metric on test."""
        return self.test_accuracy if self.metric == "accuracy" else self.test_loss

    def to_json(self) -> str:
        """Return the row as JSON; all numbers in it are finite."""
        return json.dumps(asdict(self), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> Row:
        """Read it back."""
        values: dict[str, Any] = json.loads(text)
        for name in NUMBERS:
            if values[name] is not None:
                values[name] = Spread(**values[name])
        return Row(**values)


def spreads(children: Sequence[Child], task: Task) -> dict[str, Spread | None]:
    """Return the `NUMBERS` of reported children; None for what the task does not have."""
    worst = {"accuracy": WORST_ACCURACY, "loss": task.loss_bound}
    found: dict[str, Spread | None] = {}
    for name in NUMBERS:
        measured = name.removeprefix("test_")
        there = measured in ("loss", task.metric)
        found[name] = spread([value(child, name, worst[measured]) for child in children]) if there else None
    return found


def value(child: Child, name: str, worst: float) -> float:
    """Return one number of a child, or the worst if it did not come to the end."""
    number = getattr(child, name)
    return float(number) if child.status == "trained" and number is not None else worst


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return rows of one task, the best first: by median validation metric, then by median validation loss; failures last."""

    def key(row: Row) -> tuple[bool, float, float]:
        if row.validation is None or row.loss is None:
            return True, 0.0, 0.0
        return False, -merit(row.metric, row.validation.median), row.loss.median

    return sorted(rows, key=key)
