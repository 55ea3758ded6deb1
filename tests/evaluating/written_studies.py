"""Studies whose children are written down, for statistics and guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from neuropt.evaluating.contenders import Contender, find_contender
from neuropt.evaluating.ladders import Ladder
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.tuning import Tuning
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks import get_task
from neuropt.tasks.task import Task
from neuropt.training.children import Child
from tests.evaluating.fakes import diverged, trained

SEEDS = tuple(range(100, 110))
PROTOCOL = Protocol((1, 2), SEEDS, "accuracy", "centred", trials=9, evaluations=4)
TASK = get_task("digits-mlp")


def task(name: str, family: str) -> Task:
    """A task that differs by name and family only."""
    return replace(TASK, name=name, family=family, target=None)


def study(who: str | Contender, values: Sequence[float | None], schedule: str = CONSTANT, budget: int = 9) -> Study:
    """One that was tuned with a budget, and reported at these accuracies; None for a diverged child."""
    contender = find_contender(who) if isinstance(who, str) else who
    tuning = Tuning(Ladder("centred", 1.0), contender.axes, budget, lambda child: child.accuracy or 0.0)
    while trials := tuning.next():
        for trial in trials:
            tuning.tell(trial, [trained(trial.learning_rate, 1, 0.5 - abs(trial.rung) / 100)])
    report = tuple(child(value, seed) for value, seed in zip(values, SEEDS, strict=False))
    return Study(contender, schedule, tuning, report)


def child(value: float | None, seed: int, curve: Sequence[float] = ()) -> Child:
    """A child of the report."""
    points = tuple((1.0, share) for share in curve)
    return replace(diverged(0.1, seed) if value is None else trained(0.1, seed, value), curve=points)


def studies(found: Mapping[str, Sequence[Study]]) -> list[tuple[Task, Sequence[Study]]]:
    """Studies by "task family"."""
    return [(task(*name.split()), those) for name, those in found.items()]
