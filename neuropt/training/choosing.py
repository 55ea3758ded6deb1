"""Choose the form in which a task's children are trained, by measurement, once for each task and device.

Each possible form trains the same children under Adam for a few steps, in turns. Its cost is

    cost = seconds of the first step (which compiles, where a form does) + steps * seconds of a step

and the least costly one is chosen; one that saves less than 3 % does not replace a simpler one, and one that raises an error or whose
losses are not those of the plain form is never chosen. Times are kept in the user's cache, so that a second run measures nothing.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.program import compile_program
from neuropt.tasks.task import Task, TaskData
from neuropt.training.devices import CPU, wait
from neuropt.training.form_cache import FormCache, cache_key
from neuropt.training.forms import FORMS, Form, possible_forms
from neuropt.training.one_at_a_time import OneAtATime
from neuropt.training.precision import Precision
from neuropt.training.row_population import RowPopulation
from neuropt.training.threads import one_thread
from neuropt.training.train import rule_factory, whole_float32
from search_space import zoo

ROUNDS = 5
"""Steps that each form is timed for; the shortest counts, since other work on the machine only adds to it."""
SAVING = 0.03
"""A form that saves less than this share does not replace a simpler one."""
COMPILE_SECONDS = 300.0
"""Compiling is tried where the best other form would take longer: it takes up to a minute, in every process."""
TOLERANCES: dict[Precision, float] = {"float32": 1e-3, "bf16": 5e-2}
"""Relative, of the losses of a few steps at a small learning rate, against the plain form's."""
RATE = 1e-4
"""Small, so that the last bits of two forms are not magnified."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a form costs.

    Args:
        first: seconds of the first step of all children.
        step: seconds of a later one.
    """

    first: float
    step: float

    def cost(self, steps: int) -> float:
        """Return the seconds that so many steps take.

        >>> Timing(first=30.0, step=0.01).cost(steps=1000)
        40.0
        """
        return self.first + steps * self.step


Timings = dict[Form, Timing | str]
"""What each form costs, or why it cannot be taken."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A form and the reasons for it.

    Args:
        form: the chosen one.
        children: that each step trained.
        timings: of all forms that were looked at.
    """

    form: Form
    children: int
    timings: Timings

    def __str__(self) -> str:
        """Say it in one line: milliseconds of one step of all children."""
        parts = [
            f"{form} {timing.step * 1e3:.3g} ms" if isinstance(timing, Timing) else f"{form} not possible"
            for form, timing in self.timings.items()
        ]
        return f"form {self.form} (a step of {self.children} children: {', '.join(parts)})"


def choose_form(
    task: Task,
    data: TaskData,
    children: int,
    steps: int,
    device: torch.device = CPU,
    precision: Precision = "float32",
    cache: FormCache | None = None,
) -> Choice:
    """Return the fastest form, measured or remembered.

    Args:
        task: whose children they are.
        data: of the task.
        children: that train together: learning rates times seeds of one rule.
        steps: that one process will do in all; compiling must pay within them.
        device: where.
        precision: of the passes.
        cache: of earlier measurements; None for the user's.
    """
    cache = FormCache.of_user() if cache is None else cache
    key = cache_key(task, data, children, device, precision)
    forms: list[Form] = [form for form in possible_forms(task, data) if form not in ("population", "compiled")]
    timings = _read(cache.get(key))
    if any(form not in timings for form in forms):
        timings = measure(task, data, forms, children, device, precision)
    others: Timings = {form: timing for form, timing in timings.items() if form != "compiled"}
    long = others[least_costly(others, steps)].cost(steps) > COMPILE_SECONDS  # type: ignore[union-attr]  # has a time
    if long and "compiled" in possible_forms(task, data) and "compiled" not in timings:
        timings |= measure(task, data, ["plain", "compiled"], children, device, precision)
    cache.put(key, _written(timings))
    considered = timings if long else others
    return Choice(least_costly(considered, steps), children, considered)


def least_costly(timings: Timings, steps: int) -> Form:
    """Return the simplest form whose cost is within `SAVING` of the least.

    >>> least_costly({"plain": Timing(0, 1.0), "rows": Timing(0, 0.99), "batched": "out of memory"}, steps=100)
    'plain'
    """
    costs = {form: timing.cost(steps) for form, timing in timings.items() if isinstance(timing, Timing)}
    least = min(costs.values())
    return next(form for form in FORMS if form in costs and (1 - SAVING) * costs[form] <= least)


def measure(
    task: Task,
    data: TaskData,
    forms: Sequence[Form],
    children: int,
    device: torch.device = CPU,
    precision: Precision = "float32",
) -> Timings:
    """Time a few steps of each form in turns; "plain" must be among them, since its losses are the right ones."""
    short = task.with_budget(ROUNDS + 1)
    cohorts: dict[Form, OneAtATime | RowPopulation] = {}
    seconds: dict[Form, list[float]] = {form: [] for form in forms}
    failed: dict[Form, str] = {}
    with one_thread(), whole_float32(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a form is slow at is measured
        _cohort("plain", short, data, 1, device, precision).advance(
            1
        )  # what is slow but once a process: imports, caches
        for round_ in range(ROUNDS + 1):
            for form in forms:
                if form in failed:
                    continue
                try:
                    began = time.perf_counter()
                    if not round_:
                        cohorts[form] = _cohort(form, short, data, children, device, precision)
                    cohorts[form].advance(1)
                    wait(device)
                    seconds[form].append(time.perf_counter() - began)
                except Exception as error:  # noqa: BLE001  # of a compiler, of a model under vmap; kept as the reason
                    failed[form] = f"{type(error).__name__}: {error}".split("\n")[0][:200]
        right = _curve(cohorts["plain"])
        for form in forms:
            if form not in failed and not _agree(_curve(cohorts[form]), right, TOLERANCES[precision]):
                failed[form] = "its losses are not those of the plain form"
    return {form: failed[form] if form in failed else Timing(s[0], min(s[1:])) for form, s in seconds.items()}


def _cohort(
    form: Form, task: Task, data: TaskData, children: int, device: torch.device, precision: Precision
) -> OneAtATime | RowPopulation:
    adam, rates = zoo()["adam"], [[RATE] * children]
    if form == "plain":
        factory = rule_factory(adam, task.steps)
        return OneAtATime(task, data, [factory], rates, [0], curves=True, device=device, precision=precision)
    return RowPopulation(
        task, data, [compile_program(adam)], rates, [0], form, device=device, precision=precision, curves=True
    )


def _curve(cohort: OneAtATime | RowPopulation) -> Tensor:
    assert cohort.history is not None
    return torch.stack(cohort.history).double().cpu()


def _agree(curve: Tensor, right: Tensor, tolerance: float) -> bool:
    return torch.allclose(curve, right, rtol=tolerance, atol=tolerance, equal_nan=True)


def _read(entry: Mapping[str, Any]) -> Timings:
    """Take what the cache holds of the forms that there are; anything else in it counts for nothing."""
    found: Timings = {}
    for form in FORMS:
        match entry.get(form):
            case str(reason):
                found[form] = reason
            case [int() | float() as first, int() | float() as step] if first >= 0 and step >= 0:
                found[form] = Timing(float(first), float(step))
    return found if isinstance(found.get("plain"), Timing) else {}


def _written(timings: Timings) -> dict[str, str | list[float]]:
    return {form: t if isinstance(t, str) else [t.first, t.step] for form, t in timings.items()}
