"""Measure the forms in which children of any model are trained, against a plain torch loop.

    python benchmarks/forms.py --task mnist-lenet --data-dir DIR [--forms plain rows channels-last batched compiled] [--children 7]

All sides train the same children, one optimizer at K learning rates, from the same weights on the same batches, and take turns of a few
steps.
The plain loop is what a person would write: a module and one of torch's own optimizers a child (PowerSign: our hand-coded one). The table
shows medians over the turns: milliseconds of one step of one child, the plain loop's time over the form's, and the largest difference of a
training loss from the plain loop's. The first step, which compiles where a form does, is shown apart and in no median.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.compiling.program import compile_program
from neuropt.optimizers import PowerSign
from neuropt.tasks import batch_order, build_model, get_task, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.devices import CPU, device_name, find_device, placed, wait
from neuropt.training.forms import FORMS, Form, possible_forms
from neuropt.training.one_at_a_time import OneAtATime
from neuropt.training.precision import Precision
from neuropt.training.row_population import RowPopulation
from neuropt.training.train import rule_factory, whole_float32
from search_space import zoo

PLAIN: dict[str, Callable[[list[nn.Parameter], float], Optimizer]] = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
    "powersign": lambda parameters, lr: PowerSign(parameters, lr=lr),
}


class Contender(Protocol):
    history: list[Tensor] | None

    def advance(self, steps: int) -> None: ...


class TorchLoop:
    """The children of a plain torch loop, one after the other."""

    def __init__(self, task: Task, data: TaskData, name: str, rates: list[float], device: torch.device) -> None:
        self.task, self.train, self.t = task, placed(data.train, device), 0
        self.order = batch_order(len(data.train), task.batch_size, task.steps, seed=0).to(device)
        self.models = [build_model(task, seed=0).to(device) for _ in rates]
        self.optimizers = [
            PLAIN[name](list(model.parameters()), rate) for model, rate in zip(self.models, rates, strict=True)
        ]
        self.history: list[Tensor] | None = []

    def advance(self, steps: int) -> None:
        losses = torch.empty(steps, 1, len(self.models), device=self.order.device)
        for child, (model, optimizer) in enumerate(zip(self.models, self.optimizers, strict=True)):
            for step in range(steps):
                chosen = self.order[self.t + step]
                optimizer.zero_grad()
                loss = self.task.loss(model(self.train.inputs[chosen]), self.train.targets[chosen])
                torch.autograd.backward(loss)
                optimizer.step()
                losses[step, 0, child] = loss.detach()
        self.t += steps
        assert self.history is not None
        self.history.extend(losses)


@dataclass
class Times:
    """Seconds of the first step of all children, and of later turns."""

    contender: Contender
    first: float
    turns: list[float]


def started(make: Callable[[], Contender], device: torch.device) -> Times:
    began = time.perf_counter()
    contender = make()
    contender.advance(1)
    wait(device)
    return Times(contender, time.perf_counter() - began, [])


def cohort(
    task: Task, data: TaskData, name: str, rates: list[float], form: Form, precision: Precision, device: torch.device
) -> Contender:
    rule = zoo()[name]
    if form == "plain":
        factory = rule_factory(rule, task.steps)
        return OneAtATime(task, data, [factory], [rates], [0], curves=True, device=device, precision=precision)
    return RowPopulation(task, data, [compile_program(rule)], [rates], [0], form, device, precision, curves=True)


def compare(
    task: Task,
    data: TaskData,
    name: str,
    rates: list[float],
    forms: list[Form],
    turns: int,
    steps: int,
    precision: Precision,
    device: torch.device,
) -> dict[str, Times]:
    """Let the plain loop and each form take turns of so many steps."""
    task = task.with_budget(1 + turns * steps)
    found = {"torch": started(partial(TorchLoop, task, data, name, rates, device), device)}
    for form in forms:
        found[form] = started(partial(cohort, task, data, name, rates, form, precision, device), device)
    for _ in range(turns):
        for times in found.values():
            began = time.perf_counter()
            times.contender.advance(steps)
            wait(device)
            times.turns.append(time.perf_counter() - began)
    return found


def difference(one: Contender, other: Contender) -> float:
    """The largest difference of a loss from another's, over all steps and children."""
    a, b = (torch.stack(c.history or []).double().cpu() for c in (one, other))
    return float((a - b).abs().nan_to_num().max())


def table_of(
    task: Task,
    data: TaskData,
    optimizers: list[str],
    children: int,
    forms: list[Form],
    turns: int,
    steps: int,
    precision: Precision = "float32",
    device: torch.device = CPU,
) -> Table:
    """Measure every optimizer and return a row for each form."""
    machine = f"{device_name(device)} of {platform.machine()}"
    place = f"{torch.get_num_threads()} thread, {machine}, torch {torch.__version__}, {precision}"
    table = Table(title=f"{task.name}: {children} children, {turns} turns of {steps} steps, {place}")
    for column in ("optimizer", "form", "first step, s", "ms a child's step", "torch / form", "largest difference"):
        table.add_column(column, justify="right")
    rates = [10 ** (-4 + 2 * i / children) for i in range(children)]
    with whole_float32():
        for name in optimizers:
            found = compare(task, data, name, rates, forms, turns, steps, precision, device)
            usual = found["torch"]
            for form, times in found.items():
                ratio = statistics.median(t / f for t, f in zip(usual.turns, times.turns, strict=True))
                each = statistics.median(times.turns) / steps / children * 1e3
                apart = difference(usual.contender, times.contender)
                table.add_row(name, form, f"{times.first:.2f}", f"{each:.2f}", f"{ratio:.2f}x", f"{apart:.1e}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--task", default="mnist-lenet")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--children", type=int, default=7)
    parser.add_argument("--optimizers", nargs="+", default=list(PLAIN), choices=list(PLAIN))
    parser.add_argument("--forms", nargs="+", default=None, choices=[f for f in FORMS if f != "population"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="of a turn")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--device", default="cpu", help="where all sides train, such as cuda")
    arguments = parser.parse_args()
    try:
        device = find_device(arguments.device)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    task = get_task(arguments.task)
    data = load_task_data(task, arguments.data_dir)
    forms = arguments.forms or [form for form in possible_forms(task, data) if form != "population"]
    console = Console(width=120)
    a = arguments
    console.print(table_of(task, data, a.optimizers, a.children, forms, a.turns, a.steps, a.precision, device))


if __name__ == "__main__":
    main()
