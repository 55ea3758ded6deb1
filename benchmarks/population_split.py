"""Where the time of a population goes, and what bounds it; part of `children.py --split`.

A step is timed in its parts: batches, passes, rules, and the rest. Two floors are measured in the same run: the products of the passes at
the speed of one large matrix product (arithmetic), and all calls of torch at the cost of a call on one element (Python and dispatch).
What is above both is element by element: exponentials, roots and moving memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode

from neuropt.compiling.program import Program, compile_program
from neuropt.tasks.task import MLP, Task, TaskData
from neuropt.training.batched_mlp import Batch
from neuropt.training.population import Population
from neuropt.training.train import whole_float32
from search_space import Rule

STEPS = 20
VIEWS = (
    "view",
    "expand",
    "unsqueeze",
    "slice",
    "select",
    "transpose",
    "t.default",
    "detach",
    "lift",
    "alias",
    "as_strided",
)


class Calls(TorchDispatchMode):
    """Counts calls that compute something."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not any(view in str(function) for view in VIEWS):
            self.count += 1
        return function(*args, **(kwargs or {}))


def calls_of_a_step(task: Task, data: TaskData, programs: Sequence[Program], rates: Sequence[Sequence[float]]) -> int:
    """Return how many calls of torch the rules of one population make a step, once its random numbers are drawn."""
    with whole_float32():
        cohort = Population(task, data, programs, rates, seeds=[0])
        cohort.advance(2)
        cohort.rows.step(2)
        with Calls() as calls:
            cohort.rows.step(2)
    return calls.count


def timed(work: Callable[[], object], repeats: int = 7, runs: int = STEPS) -> float:
    """Return seconds a run, the median of some repeats."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(runs):
            work()
        found.append((time.process_time() - began) / runs)
    return median(found)


def call_seconds() -> float:
    """Return what a call costs that computes next to nothing."""
    x, out = torch.ones(1), torch.ones(1)
    return timed(lambda: torch.mul(x, x, out=out), runs=5_000)


def flops_a_second() -> float:
    """Return the speed of a large matrix product."""
    x, out = torch.rand(512, 512), torch.empty(512, 512)
    return 2 * 512**3 / timed(lambda: torch.mm(x, x, out=out))


def product_flops(mlp: MLP, examples: int) -> int:
    """Return the operations of one child's forward and backward products; the inputs need no gradient."""
    forward = [2 * examples * a * b for a, b in pairwise(mlp.sizes)]
    return 2 * sum(forward) + sum(forward[1:])


def split_table(
    task: Task, data: TaskData, groups: Mapping[str, tuple[Sequence[Rule], Sequence[Sequence[float]]]]
) -> Table:
    """Measure populations, by a name each."""
    assert isinstance(task.model, MLP)
    call, speed = call_seconds(), flops_a_second()
    table = Table(
        title=f"{task.name}: microseconds a child and step; a call {1e6 * call:.2f} us, products {speed / 1e9:.0f} Gflop/s"
    )
    for column in (
        "population",
        "step",
        "batch",
        "passes",
        "products' floor",
        "rules",
        "w - lr u",
        "calls",
        "calls' floor",
        "bound",
    ):
        table.add_column(column, justify="left" if column in ("population", "bound") else "right")
    for name, (rules, rates) in groups.items():
        with whole_float32():
            cohort = Population(task, data, [compile_program(rule) for rule in rules], rates, seeds=[0])
            cohort.advance(2)
            children, (inputs, targets) = len(cohort.columns), cohort.examples[0]
            chosen = cohort.orders[0][2]
            make = lambda i=inputs, t=targets, c=chosen: Batch.of(i[c], t[c], task.model.sizes[-1])  # noqa: E731
            batch, passes = make(), cohort.passes[0]
            cohort.rows.step(2)
            parts = {
                "batch": timed(make),
                "passes": timed(lambda p=passes, b=batch: p.loss_and_gradient(b)),
                "rules": timed(lambda c=cohort: c.rows.step(2)),
                "w - lr u": timed(cohort._descend),
            }
            with Calls() as calls:
                make(), passes.loss_and_gradient(batch), cohort.rows.step(2), cohort._descend()
        floors = {
            "arithmetic": children * product_flops(task.model, task.batch_size) / speed,
            "Python": calls.count * call,
        }
        step = sum(parts.values())
        floors["elements"] = max(0.0, step - sum(floors.values()))
        shares = ", ".join(
            f"{what} {100 * floors[what] / step:.0f} %" for what in sorted(floors, key=lambda w: -floors[w])
        )
        micro = {what: f"{1e6 * value / children:.2f}" for what, value in (parts | floors | {"step": step}).items()}
        table.add_row(
            name, micro["step"], micro["batch"], micro["passes"], micro["arithmetic"], micro["rules"], micro["w - lr u"],
            str(calls.count), micro["Python"], shares,
        )  # fmt: skip
    return table
