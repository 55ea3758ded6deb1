"""The protocol: tune every contender with one budget, then train it on fresh seeds at its best trial.

1. Trials on the tuning seeds, each to the end of the budget (`neuropt.evaluating.tuning`); the best mean validation metric wins, ties go
   to lower loss. Where the best learning rate is the lowest or the highest that was tried, the row is flagged.
2. The best trial alone on the report seeds, evaluated on validation and test; beside it, where asked for, the default learning rate.
   Nothing is chosen after that.

Schedules are an axis: all of this is done under each of them, learning rates included, with the same budget and seeds.
A diverged child is a failure with the worst value, and is never dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from neuropt.config import EvaluationGrid, Reward
from neuropt.evaluating.contenders import Contender, update_scale
from neuropt.evaluating.ladders import Ladder
from neuropt.evaluating.row import NUMBERS, Row, spreads
from neuropt.evaluating.tuning import Hyperparameters, Merit, Trial, Tuning, first_rates
from neuropt.optimizers.named_schedules import CONSTANT, find_schedule
from neuropt.searching.executor import Executor
from neuropt.searching.rewards import child_reward, reward_of
from neuropt.tasks.task import Task, TaskData
from neuropt.training.children import Child
from neuropt.training.forms import ROW_FORMS, Form
from neuropt.training.recording import SEED, record_trajectory
from neuropt.training.train import is_batched, population_rules
from neuropt.training.work import Job, Trained, Work

LEAST_BATCHED = 3
"""Learning rates from which on one pass for all of them pays (docs/decisions.md)."""

Say = Callable[[str], None]
"""Told in a line what is done, for progress."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What all contenders share.

    Args:
        tune_seeds: on which trials are chosen.
        report_seeds: on which the best one is reported; none of them is a tuning seed.
        reward: the validation metric that chooses; None for each task's own.
        grid: of learning rates.
        schedules: names of `neuropt.optimizers.named_schedules`, each of which every contender is tuned and reported under.
        trials: budget of tuning of every contender; None for seven learning rates, and at most two more where the best lies on an edge.
        defaults: whether default learning rates are reported too.
        evaluations: points of the learning curves of the report; 0 for none.
    """

    tune_seeds: tuple[int, ...]
    report_seeds: tuple[int, ...]
    reward: Reward | None = None
    grid: EvaluationGrid = "scaled"
    schedules: tuple[str, ...] = (CONSTANT,)
    trials: int | None = None
    defaults: bool = False
    evaluations: int = 0

    def __post_init__(self) -> None:
        both = sorted(set(self.tune_seeds) & set(self.report_seeds))
        if both:
            raise ValueError(f"Protocol(tune_seeds=..., report_seeds=...) must be disjoint, but both hold {both}")
        for name in self.schedules:
            find_schedule(name)

    def metric(self, task: Task) -> Reward:
        """Return the metric that chooses on a task."""
        return reward_of(self.reward, task)

    def merit(self, task: Task) -> Merit:
        """Return what a child is worth in tuning, the worst there is where it diverged."""
        metric = self.metric(task)
        return lambda child: child_reward(child, task, metric)

    def check(self, contenders: Sequence[Contender]) -> None:
        """Raise a ValueError if the budget of tuning is too small for a contender's hyperparameters."""
        for contender in contenders:
            if self.trials is None and any(len(values) > 1 for _, values in contender.axes):
                raise ValueError(f"{contender.name!r} has values to choose from, which needs a number of trials")
            try:
                first_rates(self.trials, contender.axes)
            except ValueError as error:
                raise ValueError(f"{error} ({contender.name})") from None


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
        tuning: its trials; None where it failed before the first.
        report: children on the report seeds at the best trial.
        default: children on the report seeds at the default learning rate and hyperparameters; empty where there is none, or not asked for.
        failure: why there is no result.
    """

    contender: Contender
    schedule: str = CONSTANT
    tuning: Tuning | None = None
    report: tuple[Child, ...] = ()
    default: tuple[Child, ...] = ()
    failure: str | None = None

    @property
    def best(self) -> Trial | None:
        """The best trial."""
        return self.tuning.best if self.tuning is not None and self.tuning.results else None

    def row(self, task: Task, protocol: Protocol) -> Row:
        """Return it as a row of a table."""
        best = self.best
        return Row(
            task=task.name,
            optimizer=self.contender.name,
            rule=self.contender.shown_rule,
            metric=protocol.metric(task),
            learning_rate=None if best is None else best.learning_rate,
            edge=self.tuning is not None and best is not None and self.tuning.edge,
            rates=0 if self.tuning is None else len(self.tuning.results),
            tune_seeds=len(protocol.tune_seeds),
            n=len(self.report),
            diverged=sum(child.status != "trained" for child in self.report),
            searched=bool(self.contender.searched & {task.name, task.typed}),
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
    form: Form | None = None,
) -> list[Study]:
    """Tune and report all contenders on one task under all schedules, in their order; their names must differ.

    Args:
        form: in which children of a task that is no `MLP` are trained; None for one at a time.
    """
    studies = [Study(contender, schedule) for contender in contenders for schedule in protocol.schedules]
    _begin(studies, task, data, protocol)
    while asked := [ask for study in studies if study.failure is None for ask in _asks(study)]:
        for ask, trained in zip(asked, _train(asked, task, executor, protocol, form), strict=True):
            ask.study.failure = ask.study.failure or trained.failure
            for trial, children in zip(ask.trials, trained.children, strict=False):
                _tuning(ask.study).tell(trial, children)
        if say is not None:
            count = sum(len(ask.rates) for ask in asked) * len(protocol.tune_seeds)
            say(f"{task.name}: {_counted(ask.study for ask in asked)} tuned, {count} child{'ren' * (count != 1)}")
    _report(studies, task, executor, protocol, form)
    if say is not None:
        left = (study for study in studies if study.report)
        say(f"{task.name}: {_counted(left)} reported on {len(protocol.report_seeds)} seeds")
    return studies


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """Learning rates that one study wants trained at one set of hyperparameters; in the report, of no trials."""

    study: Study
    rates: tuple[float, ...]
    hyperparameters: Hyperparameters
    trials: tuple[Trial, ...] = ()


def _begin(studies: Sequence[Study], task: Task, data: TaskData, protocol: Protocol) -> None:
    """Find the centre of each contender's learning rates; one whose updates have no size fails."""
    contenders = {study.contender.name: study.contender for study in studies}
    sizes: dict[str, tuple[float, str | None]] = dict.fromkeys(contenders, (1.0, None))
    if protocol.grid != "paper":
        trajectory = record_trajectory(task, data)
        sizes = {name: update_scale(contender, trajectory) for name, contender in contenders.items()}
    for study in studies:
        scale, study.failure = sizes[study.contender.name]
        if study.failure is None:
            ladder = Ladder(protocol.grid, scale)
            study.tuning = Tuning(ladder, study.contender.axes, protocol.trials, protocol.merit(task))


def _tuning(study: Study) -> Tuning:
    assert study.tuning is not None  # of a study that has not failed
    return study.tuning


def _asks(study: Study) -> list[_Ask]:
    """Return the next trials of a study, those of the same hyperparameters together."""
    trials = _tuning(study).next()
    groups: dict[Hyperparameters, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.hyperparameters, []).append(trial)
    return [_Ask(study, tuple(t.learning_rate for t in group), key, tuple(group)) for key, group in groups.items()]


def _report(studies: Sequence[Study], task: Task, executor: Executor, protocol: Protocol, form: Form | None) -> None:
    """Train every study at its best trial on the report seeds, and at its default learning rate where asked for."""
    tuned: list[_Ask] = []
    usual: list[_Ask] = []
    for study in studies:
        best, default = study.best, study.contender.default_lr
        if study.failure is not None or best is None:
            continue
        tuned.append(_Ask(study, (best.learning_rate,), best.hyperparameters))
        if protocol.defaults and default is not None and (default, ()) != (best.learning_rate, best.hyperparameters):
            usual.append(_Ask(study, (default,), ()))
    found = _train([*tuned, *usual], task, executor, protocol, form, report=True)
    for ask, trained in zip(tuned, found, strict=False):
        ask.study.failure = trained.failure
        ask.study.report = ask.study.default = trained.children[0] if trained.children else ()
        if not protocol.defaults or ask.study.contender.default_lr != ask.rates[0] or ask.hyperparameters:
            ask.study.default = ()
    for ask, trained in zip(usual, found[len(tuned) :], strict=True):
        ask.study.default = trained.children[0] if trained.children else ()


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


def _train(
    asked: Sequence[_Ask],
    task: Task,
    executor: Executor,
    protocol: Protocol,
    form: Form | None,
    report: bool = False,
) -> list[Trained]:
    """Train all that is asked and return what came of each, in their order."""
    seeds = protocol.report_seeds if report else protocol.tune_seeds
    forms: list[Form | None] = [_form(form, ask) for ask in asked]
    jobs = [
        ask.study.contender.job(task, ask.rates, ask.study.schedule, ask.hyperparameters, one in ROW_FORMS)
        for ask, one in zip(asked, forms, strict=True)
    ]
    schedules = [ask.study.schedule for ask in asked]
    groups = _grouped(jobs, schedules, task, len(seeds))
    works = [
        Work(
            tuple(jobs[i] for i in group),
            seeds,
            halving=False,
            test=report,
            schedule=schedules[group[0]],
            form=forms[group[0]] if jobs[group[0]].rule is not None else None,
            evaluations=protocol.evaluations if report else 0,
        )
        for group in groups
    ]
    found: dict[int, Trained] = {}
    for position, done in executor.map(works):
        found |= zip(groups[position], done.trained, strict=True)
    return [found[i] for i in range(len(jobs))]


def _form(form: Form | None, ask: _Ask) -> Form | None:
    """Return the form of one ask; a schedule that moves more than lr takes children one at a time.

    What is batched are the learning rates of one seed, so that few of them are faster as rows.
    """
    if form is None or find_schedule(ask.study.schedule).moves != "lr":
        return None
    return "rows" if form == "batched" and len(ask.rates) < LEAST_BATCHED else form


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
