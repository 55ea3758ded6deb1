"""The protocol: tune every contender with one budget, then train it on fresh seeds at its best learning rate.

1. Seven learning rates on the tuning seeds, each to the end of the budget; the best mean validation metric wins, ties go to lower loss.
2. Where the best is the lowest or the highest, one more beyond it, at most twice; still there, the row is flagged.
3. The best learning rate alone on the report seeds, evaluated on validation and test. Nothing is chosen after that.

A diverged child is a failure with the worst value, and is never dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from neuropt.config import Grid, Reward
from neuropt.evaluating.contenders import Contender, update_scale
from neuropt.evaluating.row import NUMBERS, Row, spreads
from neuropt.searching.executor import Executor
from neuropt.searching.rewards import child_reward
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
        reward: the validation metric that chooses.
        grid: of learning rates.
    """

    tune_seeds: tuple[int, ...]
    report_seeds: tuple[int, ...]
    reward: Reward = "accuracy"
    grid: Grid = "scaled"

    def __post_init__(self) -> None:
        both = sorted(set(self.tune_seeds) & set(self.report_seeds))
        if both:
            raise ValueError(f"Protocol(tune_seeds=..., report_seeds=...) must be disjoint, but both hold {both}")


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
    """One contender on one task, as the protocol goes on.

    Args:
        contender: who.
        tuning: learning rate -> children on the tuning seeds, the lowest learning rate first.
        learning_rate: the best.
        edge: whether it is the lowest or the highest that was tried.
        report: children on the report seeds.
        failure: why there is no result.
    """

    contender: Contender
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
            metric=protocol.reward,
            learning_rate=self.learning_rate,
            edge=self.edge,
            rates=len(self.tuning),
            tune_seeds=len(protocol.tune_seeds),
            n=len(self.report),
            diverged=sum(child.status != "trained" for child in self.report),
            searched=task.name in self.contender.searched,
            failure=self.failure,
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
    """Tune and report all contenders on one task, in their order; their names must differ."""
    studies = [Study(contender) for contender in contenders]
    _tune(studies, task, data, executor, protocol, say)
    left = [(study, study.learning_rate) for study in studies if study.failure is None]
    jobs = [study.contender.job(task, [rate]) for study, rate in left if rate is not None]
    results = _train(jobs, task, executor, protocol.report_seeds, test=True)
    for (study, _), trained in zip(left, results, strict=True):
        study.failure = trained.failure
        study.report = trained.children[0] if trained.children else ()
    if say is not None:
        say(f"{task.name}: {len(left)} optimizers reported on {len(protocol.report_seeds)} seeds")
    return studies


def _tune(
    studies: Sequence[Study], task: Task, data: TaskData, executor: Executor, protocol: Protocol, say: Say | None
) -> None:
    rates = _first_rates(studies, task, data, protocol)
    for _ in range(1 + EXTENSIONS):
        waiting = [study for study in studies if study.contender.name in rates]
        jobs = [study.contender.job(task, rates[study.contender.name]) for study in waiting]
        results = _train(jobs, task, executor, protocol.tune_seeds, test=False)
        for study, trained in zip(waiting, results, strict=True):
            study.failure = trained.failure
            if trained.failure is None:
                _take(study, trained.children, task, protocol.reward)
        if jobs and say is not None:
            children = sum(len(job.learning_rates) for job in jobs) * len(protocol.tune_seeds)
            say(f"{task.name}: {len(jobs)} optimizers tuned, {children} children")
        rates = {s.contender.name: (_beyond(s),) for s in studies if s.failure is None and s.edge}


def _first_rates(
    studies: Sequence[Study], task: Task, data: TaskData, protocol: Protocol
) -> Mapping[str, tuple[float, ...]]:
    """Return the grid of each contender; one whose updates have no size fails."""
    if protocol.grid == "paper":
        return {study.contender.name: learning_rates("paper", 1.0) for study in studies}
    trajectory = record_trajectory(task, data)
    rates = {}
    for study in studies:
        scale, study.failure = update_scale(study.contender, trajectory)
        if study.failure is None:
            rates[study.contender.name] = learning_rates("scaled", scale)
    return rates


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


def _train(jobs: Sequence[Job], task: Task, executor: Executor, seeds: tuple[int, ...], test: bool) -> list[Trained]:
    """Train all jobs and return what came of each, in their order."""
    groups = _grouped(jobs, task, len(seeds))
    works = [Work(tuple(jobs[i] for i in group), seeds, halving=False, test=test) for group in groups]
    found: dict[int, Trained] = {}
    for position, done in executor.map(works):
        found |= zip(groups[position], done.trained, strict=True)
    return [found[i] for i in range(len(jobs))]


def _grouped(jobs: Sequence[Job], task: Task, seeds: int) -> list[list[int]]:
    """Return positions of jobs that share a work: as many rules as a population holds; else one, so that workers share them."""
    together = [i for i, job in enumerate(jobs) if job.rule is not None and is_batched(task)]
    alone = [[i] for i in range(len(jobs)) if i not in together]
    if not together:
        return alone
    size = population_rules(task, max(len(jobs[i].learning_rates) for i in together), seeds)
    return [together[i : i + size] for i in range(0, len(together), size)] + alone
