"""Children: what one short training leaves behind, and the race in which the learning rates of a rule are trained together.

A cohort trains many children; a race decides which of them go on. Three cohorts exist: a population, all children in one batched buffer,
rows, any model in such a buffer, and one at a time, plain torch. All lose the same children at the same steps, so their numbers agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from neuropt.tasks.task import Task
from neuropt.training.curves import Curves, Point, evaluation_steps

Status = Literal["trained", "stopped", "diverged"]

RECENT_STEPS = 10
"""Learning rates of a rule are compared by their mean training loss over so many steps before a halving."""
CLEARINGS = 6
"""Diverged children leave their cohort at so many evenly spread steps."""


@dataclass(frozen=True, slots=True)
class Child:
    """One short training of a task under one rule.

    Args:
        learning_rate: lr.
        seed: of initial weights, order of the examples, noise and drop.
        status: `trained` to the end; `stopped` by halving, for a better learning rate, or with its rule at a rung; `diverged`.
        steps: how many it did.
        train_loss: mean over its last steps; infinity if it diverged.
        loss, accuracy: on the validation split, at the end of the budget, or at the rung where its rule stopped; else None; accuracy
            also where it is not the metric.
        test_loss, test_accuracy: likewise on the test split, where asked for.
        curve: validation loss and accuracy at the steps of `evaluation_steps`, as long as it had not diverged, where asked for.
        seconds: of training where there is a curve, evaluation left out; children that train together share theirs evenly.
    """

    learning_rate: float
    seed: int
    status: Status
    steps: int
    train_loss: float
    loss: float | None = None
    accuracy: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    curve: tuple[Point, ...] = ()
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Column:
    """One rule at one learning rate, on all seeds."""

    rule: int
    rate: int
    learning_rate: float


class Losses:
    """The training losses of a cohort: (seeds, columns) a step.

    A child whose loss is not finite or passes `bound` has diverged, for good.
    """

    def __init__(self, seeds: int, columns: int, bound: float, device: torch.device) -> None:
        self.bound = bound
        self.alive = torch.ones(seeds, columns, dtype=torch.bool, device=device)
        self.steps = torch.zeros(seeds, columns, dtype=torch.int64, device=device)
        self.last: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Record one step, (seeds, columns)."""
        self.extend(loss.unsqueeze(0))

    def extend(self, losses: Tensor) -> None:
        """Record several steps, (steps, seeds, columns)."""
        lasting = (losses <= self.bound).logical_and_(self.alive).cumprod(0)  # 0 from the first NaN or passed bound on
        self.alive = self.alive & lasting.all(0)
        self.steps += lasting.sum(0)
        self.last = [*self.last, *losses[-RECENT_STEPS:]][-RECENT_STEPS:]

    def recent(self) -> Tensor:
        """Return the mean over the last steps, infinity where diverged: (seeds, columns)."""
        mean = torch.stack(self.last).mean(0, dtype=torch.float64)
        return torch.where(self.alive, mean, torch.inf)

    def keep(self, columns: Tensor) -> None:
        """Forget all columns but these."""
        self.alive, self.steps = self.alive[:, columns], self.steps[:, columns]
        self.last = [loss[:, columns] for loss in self.last]


Splits = TypeVar("Splits", contravariant=True)
"""What a cohort is evaluated on: a split, or one for each seed."""
Given = TypeVar("Given")


class Ladder(Protocol):
    """Rungs of a race: `neuropt.training.rungs`."""

    @property
    def rungs(self) -> Sequence[int]:
        """Steps at which the cohort is evaluated."""
        ...

    def leaving(self, steps: int, present: Mapping[int, Sequence[Sequence[Child]]]) -> set[int]:
        """Take the children of the rules that are still training, and return the rules that stop here."""
        ...


class Cohort(Protocol[Splits]):
    """Children that are trained together: `columns` x `seeds`."""

    columns: list[Column]
    seeds: list[int]
    losses: Losses

    def advance(self, steps: int) -> None:
        """Train all children for so many more steps."""
        ...

    def keep(self, columns: list[int]) -> None:
        """Let all columns but these leave."""
        ...

    def evaluate(self, split: Splits, /) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, (seeds, columns) each; accuracy is NaN where it is not the task's metric."""
        ...


Results = list[list[list[Child]]]
"""[rule][learning rate][seed]"""


def race(
    cohort: Cohort[Given],
    task: Task,
    splits: Mapping[str, Given],
    halving: bool = True,
    evaluations: int = 0,
    ladder: Ladder | None = None,
) -> Results:
    """Train a cohort to the end of the task's budget, halving the learning rates of each rule on the way.

    Args:
        splits: what the survivors are evaluated on: "validation", and "test" for finalists only.
        halving: whether to follow `task.halving`.
        evaluations: points of each child's learning curve on "validation", see `evaluation_steps`; 0 for none.
        ladder: rungs at which whole rules may stop; None trains every rule to the end.
    """
    halvings = dict(task.halving) if halving else {}
    clearings = {task.steps * i // CLEARINGS for i in range(1, CLEARINGS)}
    rungs = set() if ladder is None else {step for step in ladder.rungs if step < task.steps}
    points = evaluation_steps(task.steps, evaluations)
    curves = Curves(splits.get("validation"))
    if points:
        curves.evaluate(cohort)
    found: dict[tuple[int, int], list[Child]] = {}
    done = 0
    for stop in sorted({*halvings, *clearings, *rungs, *points, task.steps} - {0}):
        curves.advance(cohort, stop - done)
        done = stop
        if stop < task.steps and stop in points:
            curves.evaluate(cohort)
        if ladder is not None and stop in rungs:
            found |= _at_rung(cohort, ladder, stop, splits["validation"])
        if stop < task.steps and cohort.columns and stop in {*halvings, *clearings, *rungs}:
            kept = _survivors(cohort, halvings.get(stop))
            stopped = _children(cohort, "stopped")
            for index in sorted(set(range(len(cohort.columns))) - set(kept)):
                found[_key(cohort, index)] = stopped[index]
            cohort.keep(kept)
        if not cohort.columns:
            break
    if cohort.columns:
        final = _children(cohort, "trained")
        for name, split in splits.items():
            final = _evaluated(final, cohort, name, split)
        found |= {_key(cohort, index): children for index, children in enumerate(final)}
    rules: Results = []
    for rule, rate in sorted(found):
        rules.extend([] for _ in range(rule + 1 - len(rules)))
        rules[rule].append([_noted(child, curves, (rule, rate), s) for s, child in enumerate(found[rule, rate])])
    return rules


def _noted(child: Child, curves: Curves, column: tuple[int, int], seed: int) -> Child:
    """Return a child with its curve and its seconds; the last point is what it came to."""
    points = curves.of(column, seed)
    if points and child.loss is not None:
        points += ((child.loss, child.accuracy),)
    return replace(child, curve=points, seconds=curves.seconds[column] if points else 0.0)


def _at_rung(cohort: Cohort[Given], ladder: Ladder, steps: int, split: Given) -> dict[tuple[int, int], list[Child]]:
    """Evaluate all that are still training, let the rules leave that stop here, and return their children."""
    now = _evaluated(_children(cohort, "trained"), cohort, "validation", split)
    present: dict[int, list[list[Child]]] = {}
    for index, children in enumerate(now):
        if any(child.status == "trained" for child in children):
            present.setdefault(cohort.columns[index].rule, []).append(children)
    leaving = ladder.leaving(steps, present)
    gone = [index for index, column in enumerate(cohort.columns) if column.rule in leaving]
    found = {_key(cohort, index): [left_at_rung(child) for child in now[index]] for index in gone}
    cohort.keep(sorted(set(range(len(cohort.columns))) - set(gone)))
    return found


def left_at_rung(child: Child) -> Child:
    """Return a child whose rule stops at a rung; it keeps what it had come to."""
    return replace(child, status="stopped") if child.status == "trained" else child


def _key(cohort: Cohort[Any], index: int) -> tuple[int, int]:
    return cohort.columns[index].rule, cohort.columns[index].rate


def _survivors(cohort: Cohort[Any], keep: int | None) -> list[int]:
    """Return the columns that go on: of each rule the best `keep`, less those that diverged on every seed."""
    recent = cohort.losses.recent().mean(0).tolist()
    alive = cohort.losses.alive.any(0).tolist()
    by_rule: dict[int, list[int]] = {}
    for index, column in enumerate(cohort.columns):
        if alive[index]:
            by_rule.setdefault(column.rule, []).append(index)
    best = [sorted(indices, key=lambda i: recent[i])[:keep] for indices in by_rule.values()]
    return sorted(index for indices in best for index in indices)


def _children(cohort: Cohort[Any], status: Status) -> list[list[Child]]:
    """Return the children of all columns as they are now, read from their device at once."""
    losses = cohort.losses
    tables = [x.T.tolist() for x in (losses.alive, losses.steps, losses.recent())]
    return [
        [
            Child(column.learning_rate, seed, status if lives else "diverged", done, loss)
            for seed, lives, done, loss in zip(cohort.seeds, *rows, strict=True)
        ]
        for column, *rows in zip(cohort.columns, *tables, strict=True)
    ]


def _evaluated(final: list[list[Child]], cohort: Cohort[Given], name: str, split: Given) -> list[list[Child]]:
    losses, accuracies = (x.tolist() for x in cohort.evaluate(split))
    prefix = "test_" if name == "test" else ""
    result = []
    for index, children in enumerate(final):
        row = []
        for s, child in enumerate(children):
            if child.status == "trained" and not losses[s][index] <= cohort.losses.bound:
                child = replace(child, status="diverged", train_loss=float("inf"))
            if child.status == "trained":
                share = accuracies[s][index]
                values = {f"{prefix}loss": losses[s][index], f"{prefix}accuracy": None if isnan(share) else share}
                child = replace(child, **values)
            row.append(child)
        result.append(row)
    return result
