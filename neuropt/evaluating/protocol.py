"""The protocol: tune every contender with one budget, then train it on fresh seeds at its best learning rate.

1. Seven learning rates on the tuning seeds, each to the end of the budget; the best mean validation metric wins, ties go to lower loss.
2. Where the best is the lowest or the highest, one more beyond it, at most twice; still there, the row is flagged.
3. The best learning rate alone on the report seeds, evaluated on validation and test. Nothing is chosen after that.

Schedules are an axis: all of this is done under each of them, learning rates included, with the same budget and seeds.
A diverged child is a failure with the worst value, and is never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from neuropt.config import Grid, Reward
from neuropt.evaluating.contenders import Contender, update_scale
from neuropt.evaluating.row import NUMBERS, Row, spreads
from neuropt.optimizers.named_schedules import CONSTANT, find_schedule
from neuropt.searching.executor import Executor
from neuropt.searching.rewards import child_reward, reward_of
from neuropt.tasks.task import Task, TaskData
from neuropt.training.children import Child
from neuropt.training.learning_rates import learning_rates
from neuropt.training.recording import SEED, record_trajectory
from neuropt.training.train import is_batched, population_rules
from neuropt.training.work import Job, Trained, Work

EXTENSIONS = 2
"""Learning rates that may be tried beyond an edge of the grid."""

Say = Callable[[str], None]
"""Told in a line what is done, for progress."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What all contenders share.

    Args:
        tune_seeds: on which learning rates are chosen.
        report_seeds: on which the best one is reported; none of them is a tuning seed.
        reward: the validation metric that chooses; None for each task's own.
        grid: of learning rates.
        schedules: names of `neuropt.optimizers.named_schedules`, each of which every contender is tuned and reported under.
    """

    tune_seeds: tuple[int, ...]
    report_seeds: tuple[int, ...]
    reward: Reward | None = None
    grid: Grid = "scaled"
    schedules: tuple[str, ...] = (CONSTANT,)

    def __post_init__(self) -> None:
        both = sorted(set(self.tune_seeds) & set(self.report_seeds))
        if both:
            raise ValueError(f"Protocol(tune_seeds=..., report_seeds=...) must be disjoint, but both hold {both}")
        for name in self.schedules:
            find_schedule(name)

    def metric(self, task: Task) -> Reward:
        """Return the metric that chooses on a task."""
        return reward_of(self.reward, task)


def fresh_seeds(counts: Sequence[int], root: int, taken: Collection[int] = ()) -> list[tuple[int, ...]]:
    """Return sets of seeds, disjoint from each other, from `taken`, and from the seed of the recorded trajectory.

    >>> [len(seeds) for seeds in fresh_seeds([3, 10], root=0)]
    [3, 10]
    """
    generator = np.random.default_rng(root)
    found: list[int] = []
    while len(found) < sum(counts):
        seed = int(generator.integers(2**31))
        if seed not in taken and seed not in found and seed != SEED:
            found.append(seed)
    ends = np.cumsum(counts).tolist()
    return [tuple(found[end - count : end]) for count, end in zip(counts, ends, strict=True)]


@dataclass(slots=True)
class Study:
    """One contender under one schedule on one task, as the protocol goes on.

    Args:
        contender: who.
        schedule: of every child.
        tuning: learning rate -> children on the tuning seeds, the lowest learning rate first.
        learning_rate: the best.
        edge: whether it is the lowest or the highest that was tried.
        report: children on the report seeds.
        failure: why there is no result.
    """

    contender: Contender
    schedule: str = CONSTANT
    tuning: dict[float, tuple[Child, ...]] = field(default_factory=dict)
    learning_rate: float | None = None
    edge: bool = False
    report: tuple[Child, ...] = ()
    failure: str | None = None

    def row(self, task: Task, protocol: Protocol) -> Row:
        """Return it as a row of a table."""
        return Row(
            task=task.name,
            optimizer=self.contender.name,
            rule=self.contender.shown_rule,
            metric=protocol.metric(task),
            learning_rate=self.learning_rate,
            edge=self.edge,
            rates=len(self.tuning),
            tune_seeds=len(protocol.tune_seeds),
            n=len(self.report),
            diverged=sum(child.status != "trained" for child in self.report),
            searched=task.typed in self.contender.searched,
            failure=self.failure,
            schedule=self.schedule,
            **(dict.fromkeys(NUMBERS) if self.failure is not None else spreads(self.report, task)),
        )


def run_protocol(
    contenders: Sequence[Contender],
    task: Task,
    data: TaskData,
    executor: Executor,
    protocol: Protocol,
    say: Say | None = None,
) -> list[Study]:
    """Tune and report all contenders on one task under all schedules, in their order; their names must differ."""
    studies = [Study(contender, schedule) for contender in contenders for schedule in protocol.schedules]
    _tune(studies, task, data, executor, protocol, say)
    left = [(study, (study.learning_rate,)) for study in studies if study.failure is None and study.learning_rate]
    for (study, _), trained in zip(left, _train(left, task, executor, protocol.report_seeds, test=True), strict=True):
        study.failure = trained.failure
        study.report = trained.children[0] if trained.children else ()
    if say is not None:
        say(f"{task.name}: {_counted(s for s, _ in left)} reported on {len(protocol.report_seeds)} seeds")
    return studies


def _counted(studies: Iterable[Study]) -> str:
    """Return how many optimizers, and schedules where there are several, in words."""
    pairs = {(study.contender.name, study.schedule) for study in studies}
    names, schedules = {name for name, _ in pairs}, {schedule for _, schedule in pairs}
    counted = f"{len(names)} optimizer{'s' * (len(names) != 1)}"
    return (
        counted
        if schedules <= {CONSTANT}
        else f"{counted} under {len(schedules)} schedule{'s' * (len(schedules) != 1)}"
    )


def _tune(
    studies: Sequence[Study], task: Task, data: TaskData, executor: Executor, protocol: Protocol, say: Say | None
) -> None:
    scales = _scales(studies, task, data, protocol)
    waiting = [(s, learning_rates(protocol.grid, scales[s.contender.name])) for s in studies if s.failure is None]
    for _ in range(1 + EXTENSIONS):
        for (study, _), trained in zip(
            waiting, _train(waiting, task, executor, protocol.tune_seeds, test=False), strict=True
        ):
            study.failure = trained.failure
            if trained.failure is None:
                _take(study, trained.children, task, protocol.metric(task))
        if waiting and say is not None:
            children = sum(len(rates) for _, rates in waiting) * len(protocol.tune_seeds)
            say(f"{task.name}: {_counted(s for s, _ in waiting)} tuned, {children} children")
        waiting = [(s, (_beyond(s),)) for s, _ in waiting if s.failure is None and s.edge]


def _scales(studies: Sequence[Study], task: Task, data: TaskData, protocol: Protocol) -> dict[str, float]:
    """Return what the grid of each contender is scaled by; one whose updates have no size fails."""
    contenders = {study.contender.name: study.contender for study in studies}
    if protocol.grid == "paper":
        return dict.fromkeys(contenders, 1.0)
    trajectory = record_trajectory(task, data)
    sizes = {name: update_scale(contender, trajectory) for name, contender in contenders.items()}
    for study in studies:
        study.failure = sizes[study.contender.name][1]
    return {name: scale for name, (scale, _) in sizes.items()}


def _take(study: Study, children: Sequence[Sequence[Child]], task: Task, reward: Reward) -> None:
    """Take results of tuning, and choose the best learning rate of all so far."""
    known = study.tuning | {row[0].learning_rate: tuple(row) for row in children}
    study.tuning = dict(sorted(known.items()))

    def merit(rate: float) -> tuple[float, float]:
        row = study.tuning[rate]
        return fmean(child_reward(child, task, reward) for child in row), -fmean(_loss(child) for child in row)

    study.learning_rate = max(study.tuning, key=merit)
    study.edge = study.learning_rate in (min(study.tuning), max(study.tuning))


def _loss(child: Child) -> float:
    return math.inf if child.status != "trained" or child.loss is None else child.loss


def _beyond(study: Study) -> float:
    """Return the next learning rate beyond the edge, at the grid's own ratio."""
    rates = list(study.tuning)
    if study.learning_rate == rates[0]:
        return rates[0] * (rates[0] / rates[1])
    return rates[-1] * (rates[-1] / rates[-2])


Rates = tuple[float, ...]


def _train(
    asked: Sequence[tuple[Study, Rates]], task: Task, executor: Executor, seeds: tuple[int, ...], test: bool
) -> list[Trained]:
    """Train all studies at some learning rates and return what came of each, in their order."""
    jobs = [study.contender.job(task, rates, study.schedule) for study, rates in asked]
    schedules = [study.schedule for study, _ in asked]
    groups = _grouped(jobs, schedules, task, len(seeds))
    works = [
        Work(tuple(jobs[i] for i in group), seeds, halving=False, test=test, schedule=schedules[group[0]])
        for group in groups
    ]
    found: dict[int, Trained] = {}
    for position, done in executor.map(works):
        found |= zip(groups[position], done.trained, strict=True)
    return [found[i] for i in range(len(jobs))]


def _grouped(jobs: Sequence[Job], schedules: Sequence[str], task: Task, seeds: int) -> list[list[int]]:
    """Return positions of jobs that share a work: as many rules as a population holds; else one, so that workers share them."""
    groups: list[list[int]] = []
    for schedule in dict.fromkeys(schedules):
        here = [i for i in range(len(jobs)) if schedules[i] == schedule]
        together = [i for i in here if jobs[i].rule is not None and is_batched(task, schedule)]
        if together:
            size = population_rules(task, max(len(jobs[i].learning_rates) for i in together), seeds)
            groups += [together[i : i + size] for i in range(0, len(together), size)]
        groups += [[i] for i in here if i not in together]
    return groups
