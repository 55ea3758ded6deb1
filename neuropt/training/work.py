"""A piece of work for a worker: rules to train, as plain values, and what came of each.

It travels between processes and machines as JSON: rule text and numbers, never pickles.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from neuropt.optimizers.catalogue import named_optimizers
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import Task, TaskData
from neuropt.training.children import Child, Results
from neuropt.training.devices import find_device
from neuropt.training.forms import Form
from neuropt.training.precision import Precision
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
        hyperparameters: of an optimizer, under the catalogue's names; those of a rule stand in its text.
    """

    rule: str | None
    learning_rates: tuple[float, ...]
    optimizer: str | None = None
    hyperparameters: tuple[tuple[str, float], ...] = ()


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
        evaluations: points of each child's learning curve; 0 for none.
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
    evaluations: int = 0

    def to_json(self) -> str:
        """Return the work as text; what came later than ledgers that hold such texts is left out where it is not used."""
        values = asdict(self)
        for job in values["jobs"]:
            if not job["hyperparameters"]:
                del job["hyperparameters"]
        if not self.evaluations:
            del values["evaluations"]
        return json.dumps(values)

    @staticmethod
    def from_json(text: str) -> Work:
        """Read it back."""
        values = json.loads(text)
        jobs = tuple(
            Job(
                j["rule"],
                tuple(j["learning_rates"]),
                j["optimizer"],
                tuple((name, value) for name, value in j.get("hyperparameters", ())),
            )
            for j in values.pop("jobs")
        )
        return Work(jobs, tuple(values.pop("seeds")), **values)


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of one job.

    Args:
        children: [learning rate][seed]; empty if it failed.
        failure: why it could not be trained, or None.
    """

    children: tuple[tuple[Child, ...], ...]
    failure: str | None = None


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
        """Return it as text; infinity is allowed in it, as Python's JSON does. A child without a curve leaves it and its seconds out."""
        values = asdict(self)
        for child in (child for job in values["trained"] for row in job["children"] for child in row):
            if not child["curve"]:
                del child["curve"], child["seconds"]
        return json.dumps(values)

    @staticmethod
    def from_json(text: str) -> Done:
        """Read it back."""
        values: dict[str, Any] = json.loads(text)
        trained = tuple(
            Trained(tuple(tuple(_child(child) for child in row) for row in job["children"]), job["failure"])
            for job in values["trained"]
        )
        return Done(trained, values["seconds"], values["device"])


def _child(values: dict[str, Any]) -> Child:
    """Read a child; ledgers from before there were curves hold none."""
    curve = tuple((loss, accuracy) for loss, accuracy in values.pop("curve", ()))
    return Child(**values, curve=curve)


def do_work(work: Work, task: Task, data: TaskData) -> Done:
    """Train every job. One that raises is tried once more alone, then blamed; the others are not lost."""
    began = time.perf_counter()
    rules = [job for job in work.jobs if job.rule is not None]
    with one_thread():
        results = iter(_train_together(work, rules, task, data))
        trained = [next(results) if job.rule is not None else _alone(work, job, task, data) for job in work.jobs]
    return Done(tuple(trained), time.perf_counter() - began, work.device)


def work_slices(work: Work, rates: Sequence[int], task: Task) -> list[slice]:
    """Return which rules of a work train together, of so many learning rates each."""
    form = form_of(task, work.batched, work.schedule, work.form, work.precision)
    return cohort_slices(task, rates, len(work.seeds), form, work.rules_together)


def _train_together(work: Work, jobs: Sequence[Job], task: Task, data: TaskData) -> list[Trained]:
    found: list[Trained] = []
    rates = [len(job.learning_rates) for job in jobs]
    for part in work_slices(work, rates, task):
        try:
            found += [_trained(children) for children in _train(work, jobs[part], task, data)]
        except Exception:  # noqa: BLE001  # whatever one rule raises must not take the others along; `_alone` records it
            found += [_alone(work, job, task, data) for job in jobs[part]]
    return found


def _alone(work: Work, job: Job, task: Task, data: TaskData) -> Trained:
    try:
        return _trained(_train(replace(work, jobs=(job,)), [job], task, data)[0])
    except Exception as error:  # noqa: BLE001  # recorded as the reason
        return Trained((), f"{type(error).__name__}: {error}".split("\n")[0][:500])


def _trained(children: Iterable[Sequence[Child]]) -> Trained:
    return Trained(tuple(tuple(row) for row in children))


def _train(work: Work, jobs: Sequence[Job], task: Task, data: TaskData) -> Results:
    rates, device = [job.learning_rates for job in jobs], find_device(work.device)
    if jobs[0].optimizer is not None:
        named, hyper = named_optimizers()[jobs[0].optimizer], dict(jobs[0].hyperparameters)
        return train_optimizer(
            task,
            data,
            lambda parameters, lr, seed: named.create(parameters, **named.arguments(lr, task.steps) | hyper),
            rates[0],
            work.seeds,
            halving=work.halving,
            test=work.test,
            schedule=work.schedule,
            device=device,
            precision=work.precision,
            evaluations=work.evaluations,
        )
    rules = [parse_rule(job.rule or "") for job in jobs]
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
        evaluations=work.evaluations,
    )
