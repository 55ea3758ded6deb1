"""A piece of work for a worker: rules to train, as plain values, and what came of each.

It travels between processes and machines as JSON: rule text and numbers, never pickles.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuropt.optimizers.catalogue import named_optimizers
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import Task, TaskData
from neuropt.training.children import Child, Ladder, Results, left_at_rung
from neuropt.training.devices import find_device
from neuropt.training.forms import Form
from neuropt.training.precision import Precision
from neuropt.training.rungs import Rung, Rungs
from neuropt.training.threads import one_thread
from neuropt.training.train import cohort_slices, form_of, train_optimizer, train_rules
from search_space import parse_rule


@dataclass(frozen=True, slots=True)
class Job:
    """One rule, or one named optimizer, to be trained at some learning rates.

    Args:
        rule: rule text, or None for an optimizer.
        optimizer: a name of `neuropt.optimizers.named_optimizers`, or None for a rule.
        learning_rates: to be trained at.
        control: whether it is trained to the end whatever the rungs say, and compared with none there.
    """

    rule: str | None
    learning_rates: tuple[float, ...]
    optimizer: str | None = None
    control: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs that one worker trains together, under one set of seeds.

    Args:
        jobs: what to train.
        seeds: of every job.
        halving: whether losing learning rates stop early.
        batched: whether children share a buffer; None leaves it to the task.
        test: whether to evaluate on the test split.
        schedule: of every child, a name of `neuropt.optimizers.named_schedules`.
        form: how children are trained, see `neuropt.training.forms`; None leaves it to `batched`.
        rules_together: how many share a buffer; None for the usual number.
        device: where, a name of `neuropt.training.devices.find_device`.
        precision: of forward and backward passes.
        rungs: where rules are compared and may stop; None trains every rule to the end.
    """

    jobs: tuple[Job, ...]
    seeds: tuple[int, ...]
    halving: bool = True
    batched: bool | None = None
    test: bool = False
    schedule: str = CONSTANT
    form: Form | None = None
    rules_together: int | None = None
    device: str = "cpu"
    precision: Precision = "float32"
    rungs: Rungs | None = None

    def to_json(self) -> str:
        """Return the work as text; a ledger knows the works of finalists by it, so what came later is left out where it is not used."""
        values = asdict(self)
        if self.rungs is None:
            del values["rungs"]
            for job in values["jobs"]:
                del job["control"]
        return json.dumps(values)

    @staticmethod
    def from_json(text: str) -> Work:
        """Read it back."""
        values = json.loads(text)
        jobs = tuple(Job(**{**job, "learning_rates": tuple(job["learning_rates"])}) for job in values.pop("jobs"))
        rungs = values.pop("rungs", None)
        if rungs is not None:
            rungs = Rungs(**{**rungs, "steps": tuple(rungs["steps"])})
        return Work(jobs, tuple(values.pop("seeds")), rungs=rungs, **values)


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of one job.

    Args:
        children: [learning rate][seed]; empty if it failed.
        failure: why it could not be trained, or None.
        fidelity: the share of its budget that it was trained for; under 1 where it was stopped at a rung.
        rungs: those it reached.
    """

    children: tuple[tuple[Child, ...], ...]
    failure: str | None = None
    fidelity: float = 1.0
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a piece of work.

    Args:
        trained: one a job, in their order.
        seconds: that the training took.
        device: where.
    """

    trained: tuple[Trained, ...]
    seconds: float
    device: str = "cpu"

    def to_json(self) -> str:
        """Return it as text; infinity is allowed in it, as Python's JSON does."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Done:
        """Read it back."""
        values: dict[str, Any] = json.loads(text)
        trained = tuple(
            Trained(_rows(job["children"]), job["failure"], job.get("fidelity", 1.0), _rungs(job.get("rungs", ())))
            for job in values["trained"]
        )
        return Done(trained, values["seconds"], values["device"])


def _rows(rows: Any) -> tuple[tuple[Child, ...], ...]:
    return tuple(tuple(Child(**child) for child in row) for row in rows)


def _rungs(rungs: Any) -> tuple[Rung, ...]:
    return tuple(Rung(rung["steps"], _rows(rung["children"])) for rung in rungs)


Judge = Callable[[Work, Sequence[Trained | None]], Sequence[bool]]
"""Given a cohort's work, and what each of its rules would be if it stopped at this rung (None: it is no longer there): who stops."""


def do_work(work: Work, task: Task, data: TaskData, judge: Judge | None = None) -> Done:
    """Train every job. One that raises is tried once more alone, then blamed; the others are not lost.

    Args:
        judge: of the rungs of the work; without one all rules go to the end.
    """
    began = time.perf_counter()
    rules = [job for job in work.jobs if job.rule is not None]
    with one_thread():
        results = iter(_train_together(work, rules, task, data, judge))
        trained = [next(results) if job.rule is not None else _alone(work, job, task, data) for job in work.jobs]
    return Done(tuple(trained), time.perf_counter() - began, work.device)


def work_slices(work: Work, rates: Sequence[int], task: Task) -> list[slice]:
    """Return which rules of a work train together, of so many learning rates each."""
    form = form_of(task, work.batched, work.schedule, work.form, work.precision)
    return cohort_slices(task, rates, len(work.seeds), form, work.rules_together, work.rungs is not None)


def _train_together(work: Work, jobs: Sequence[Job], task: Task, data: TaskData, judge: Judge | None) -> list[Trained]:
    found: list[Trained] = []
    rates = [len(job.learning_rates) for job in jobs]
    for part in work_slices(work, rates, task):
        cohort = replace(work, jobs=tuple(jobs[part]))
        try:
            found += _trained(cohort, task, data, judge)
        except Exception:  # noqa: BLE001  # whatever one rule raises must not take the others along; `_alone` records it
            found += [_alone(work, job, task, data, judge) for job in jobs[part]]
    return found


def _alone(work: Work, job: Job, task: Task, data: TaskData, judge: Judge | None = None) -> Trained:
    try:
        return _trained(replace(work, jobs=(job,)), task, data, judge)[0]
    except Exception as error:  # noqa: BLE001  # recorded as the reason
        return Trained((), f"{type(error).__name__}: {error}".split("\n")[0][:500])


def _trained(cohort: Work, task: Task, data: TaskData, judge: Judge | None) -> list[Trained]:
    """Train jobs that share a buffer, up the rungs of the work."""
    climb = None if judge is None or cohort.rungs is None else Climb(cohort, cohort.rungs, task.steps, judge)
    found = [tuple(tuple(row) for row in children) for children in _train(cohort, task, data, climb)]
    if climb is None:
        return [Trained(children) for children in found]
    return [climb.ended(rule, children) for rule, children in enumerate(found)]


class Climb:
    """The way of one cohort up the rungs of its work.

    Args:
        work: of the cohort.
        rungs: of the work.
        steps: of the whole budget.
        judge: says who stops.
    """

    def __init__(self, work: Work, rungs: Rungs, steps: int, judge: Judge) -> None:
        self.work, self.steps, self.judge = work, steps, judge
        self.rungs: Sequence[int] = rungs.steps
        self.reached: list[list[Rung]] = [[] for _ in work.jobs]
        self.fidelity = [1.0] * len(work.jobs)

    def leaving(self, steps: int, present: Mapping[int, Sequence[Sequence[Child]]]) -> set[int]:
        """Take the children of the rules that are still training, and return the rules that stop here."""
        candidates: list[Trained | None] = [None] * len(self.work.jobs)
        for rule, rows in present.items():
            children = tuple(tuple(row) for row in rows)
            self.reached[rule].append(Rung(steps, children))
            stopped = tuple(tuple(left_at_rung(child) for child in row) for row in children)
            candidates[rule] = Trained(stopped, None, steps / self.steps, tuple(self.reached[rule]))
        leaving = {rule for rule, stops in enumerate(self.judge(self.work, candidates)) if stops and rule in present}
        for rule in leaving:
            self.fidelity[rule] = steps / self.steps
        return leaving

    def ended(self, rule: int, children: tuple[tuple[Child, ...], ...]) -> Trained:
        """Return what came of a rule."""
        return Trained(children, None, self.fidelity[rule], tuple(self.reached[rule]))


def _train(work: Work, task: Task, data: TaskData, ladder: Ladder | None) -> Results:
    rates, device = [job.learning_rates for job in work.jobs], find_device(work.device)
    first = work.jobs[0]
    if first.optimizer is not None:
        named = named_optimizers()[first.optimizer]
        return train_optimizer(
            task,
            data,
            lambda parameters, lr, seed: named.create(parameters, **named.arguments(lr, task.steps)),
            rates[0],
            work.seeds,
            halving=work.halving,
            test=work.test,
            schedule=work.schedule,
            device=device,
            precision=work.precision,
        )
    rules = [parse_rule(job.rule or "") for job in work.jobs]
    return train_rules(
        task,
        data,
        rules,
        rates,
        work.seeds,
        halving=work.halving,
        batched=work.batched,
        test=work.test,
        schedule=work.schedule,
        form=work.form,
        rules_together=work.rules_together,
        device=device,
        precision=work.precision,
        ladder=ladder,
    )
