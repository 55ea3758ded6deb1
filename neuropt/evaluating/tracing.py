"""Traces: how long the updates of a tuned entry are along its training, and how far they follow the gradient.

|u|          length of the update of all parameters together, for each unit of learning rate: |w_t - w_(t+1)| / lr_t
cos(u, g)    between what a step takes off the weights and the gradient of its batch: 1 for plain descent, below 0 uphill

Each entry that has a report is trained once more for it, at its best trial on the first report seed, one child at a time: in a population
weights of many children change at once, and what is reported stays as it was. A trace is a kind of work of its own in the ledger, so that
an evaluation from before there were any gets its traces when it is resumed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.evaluating.protocol import Protocol, Study
from neuropt.optimizers.catalogue import named_optimizers
from neuropt.searching.recorded import Works
from neuropt.tasks.task import Task, TaskData
from neuropt.training.curves import evaluation_steps
from neuropt.training.one_at_a_time import OneAtATime, OptimizerFactory
from neuropt.training.threads import one_thread
from neuropt.training.train import rule_factory, whole_float32
from neuropt.training.work import Job
from search_space import parse_rule

SEEDS = 1
"""Report seeds, the first ones, on which each entry is traced."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a training.

    Args:
        step: steps done before it.
        lr: the learning rate of this step.
        update_norm: |u|, of all parameters together.
        gradient_norm: |g|, likewise.
        cosine: cos(u, g); None where one of them is 0.
    """

    step: int
    lr: float
    update_norm: float
    gradient_norm: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """One training, at evenly spread steps; it ends where the child diverged, and is empty where it could not be trained so.

    Args:
        optimizer, schedule: the entry's.
        seed: of first weights, order of examples and draws.
        learning_rate: the best trial's.
        moments: in their order.
    """

    optimizer: str
    schedule: str
    seed: int
    learning_rate: float
    moments: tuple[Moment, ...]


class Watch:
    """Measures a step of an optimizer where it is asked to, and leaves weights, gradients and draws as they are.

    u = (w_t - w_(t+1)) / lr_t,   cos(u, g) = u . g / (|u| |g|),   in float64, over all parameters that have a gradient

    Args:
        optimizer: whose steps.

    >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> sgd = torch.optim.SGD([w], lr=0.5)
    >>> watch = Watch(sgd)
    >>> watch.look()
    >>> w.grad = torch.tensor([3.0, 4.0])
    >>> sgd.step()
    >>> watch.seen(7)
    Moment(step=7, lr=0.5, update_norm=5.0, gradient_norm=5.0, cosine=1.0)
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._waiting = False
        self._before: list[tuple[Tensor, Tensor, Tensor, float]] = []  # parameter, w, g, lr
        self._measured: tuple[float, Tensor, Tensor] | None = None  # lr, u, g
        optimizer.register_step_pre_hook(self._keep)
        optimizer.register_step_post_hook(self._compare)

    def look(self) -> None:
        """Measure the next step."""
        self._waiting, self._measured = True, None

    def seen(self, step: int) -> Moment | None:
        """Return what was measured since `look`, under the number of steps done before; None where no step was done, or at lr 0."""
        if self._measured is None:
            return None
        lr, u, g = self._measured
        update, gradient = float(u.norm()), float(g.norm())
        product = update * gradient
        cosine = max(-1.0, min(1.0, float(u @ g) / product)) if product > 0 else None  # which rounding may put past 1
        return Moment(step, lr, update, gradient, cosine)

    def _keep(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._waiting:
            return
        self._before = [
            (p, _kept(p), _kept(p.grad), float(group["lr"]))
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]

    def _compare(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._waiting:
            return
        self._waiting = False
        before, self._before = self._before, []
        if not before or any(lr == 0 for *_, lr in before):
            return
        u = torch.cat([(w - _kept(p)) / lr for p, w, _, lr in before])
        g = torch.cat([gradient for _, _, gradient, _ in before])
        self._measured = before[0][3], u, g


def _kept(x: Tensor) -> Tensor:
    return x.detach().to(torch.float64, copy=True).flatten()


def trace_child(job: Job, task: Task, data: TaskData, seed: int, schedule: str, evaluations: int) -> tuple[Moment, ...]:
    """Train a child and return the step that follows each of its evaluation points but the last.

    Args:
        job: a rule or a named optimizer, at one learning rate.
        task, data: it is trained on.
        seed: of the child.
        schedule: a name of `neuropt.optimizers.named_schedules`.
        evaluations: points, as of the learning curves.
    """
    watches: list[Watch] = []
    factory = _factory(job, task)

    def watched(parameters: Any, learning_rate: float, seed: int) -> Optimizer:
        optimizer = factory(parameters, learning_rate, seed)
        watches.append(Watch(optimizer))
        return optimizer

    moments: list[Moment] = []
    with one_thread(), whole_float32():
        cohort = OneAtATime(task, data, [watched], [job.learning_rates], [seed], schedule=schedule)
        (watch,) = watches
        for begin, end in pairwise(evaluation_steps(task.steps, evaluations)):
            watch.look()
            cohort.advance(end - begin)  # which does nothing for a child that has diverged
            moment = watch.seen(begin)
            if moment is not None and not (math.isfinite(moment.update_norm) and math.isfinite(moment.gradient_norm)):
                break
            moments += [] if moment is None else [moment]
    return tuple(moments)


def _factory(job: Job, task: Task) -> OptimizerFactory:
    if job.optimizer is None:
        return rule_factory(parse_rule(job.rule or ""), task.steps)
    named, hyper = named_optimizers()[job.optimizer], dict(job.hyperparameters)
    return lambda parameters, lr, seed: named.create(parameters, **named.arguments(lr, task.steps) | hyper)


def trace_studies(
    studies: Sequence[Study], task: Task, data: TaskData, protocol: Protocol, works: Works | None = None
) -> Iterator[Trace]:
    """Yield the traces of all studies of a task that have a report; those that are recorded are not trained again.

    Args:
        works: of the task in the ledger; None keeps nothing.

    Raises:
        LedgerError: a recorded trace that cannot be read.
    """
    known = {} if works is None else works.works()
    traced: dict[str, tuple[Moment, ...]] = {}
    for study in studies:
        best = study.best
        if best is None or study.failure is not None or not study.report:
            continue
        job = study.contender.job(task, (best.learning_rate,), study.schedule, best.hyperparameters)
        for seed in protocol.report_seeds[:SEEDS]:
            work = _work(job, study.schedule, seed, protocol.evaluations)
            if works is not None and work in known:
                traced[work] = _read(work, known[work], works)
            if work not in traced:  # the best trials of two entries may be one training
                traced[work] = _trained(job, task, data, seed, study.schedule, protocol.evaluations)
                if works is not None:
                    works.write_work(work, json.dumps({"moments": [astuple(moment) for moment in traced[work]]}))
            yield Trace(study.contender.name, study.schedule, seed, best.learning_rate, traced[work])


def _trained(job: Job, task: Task, data: TaskData, seed: int, schedule: str, evaluations: int) -> tuple[Moment, ...]:
    try:
        return trace_child(job, task, data, seed, schedule, evaluations)
    except (ValueError, RuntimeError, TypeError):  # what trains in a buffer only: its row stands without a trace
        return ()


def _work(job: Job, schedule: str, seed: int, evaluations: int) -> str:
    """Return the work as the ledger knows it; none of children has this shape."""
    named = {"rule": job.rule, "optimizer": job.optimizer}
    values = {"learning_rate": job.learning_rates[0], "hyperparameters": dict(job.hyperparameters)}
    return json.dumps({"trace": named | values, "schedule": schedule, "seed": seed, "evaluations": evaluations})


def _read(work: str, text: str, works: Works) -> tuple[Moment, ...]:
    try:
        return tuple(_moment(*values) for values in json.loads(text)["moments"])
    except (ValueError, TypeError, KeyError):
        raise works.damaged_work(work) from None


def _moment(step: Any, lr: Any, update_norm: Any, gradient_norm: Any, cosine: Any) -> Moment:
    return Moment(
        int(step), float(lr), float(update_norm), float(gradient_norm), None if cosine is None else float(cosine)
    )
