"""Children a minute: a batched population against a plain torch loop over the same children, in one run, one thread.

    python benchmarks/children.py                                     # digits-mlp
    python benchmarks/children.py --task mnist-mlp --data-dir DIR

Both sides train the same children: one optimizer at K learning rates, the same weights and batches, to the end of the task's budget, and
evaluate each on the validation split. The plain loop is what a person would write: `nn.Sequential`, autograd, and torch's own optimizer
(PowerSign: our hand-coded one). The two take turns, `--repeats` times; the table shows medians and their ratio.
A task whose model is no MLP is measured in each of its forms instead, as by `benchmarks/forms.py`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.compiling.program import compile_program
from neuropt.optimizers import PowerSign
from neuropt.tasks import accuracy, batch_order, build_model, cross_entropy, get_task, load_task_data
from neuropt.tasks.task import MLP, Task, TaskData
from neuropt.training.children import race
from neuropt.training.forms import possible_forms
from neuropt.training.population import Population
from neuropt.training.train import denormals_flushed
from search_space import zoo

PLAIN: dict[str, Callable[[list[nn.Parameter], float], Optimizer]] = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
    "powersign": lambda parameters, lr: PowerSign(parameters, lr=lr),
}


def plain_loop(task: Task, data: TaskData, name: str, rates: list[float]) -> list[float]:
    """Train the children one after the other; return their validation accuracies."""
    order = batch_order(len(data.train), task.batch_size, task.steps, seed=0)
    found = []
    for rate in rates:
        model = build_model(task, seed=0)
        optimizer = PLAIN[name](list(model.parameters()), rate)
        for chosen in order:
            optimizer.zero_grad()
            loss: Tensor = cross_entropy(model(data.train.inputs[chosen].flatten(1)), data.train.targets[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
        with torch.no_grad():
            logits = model(data.validation.inputs.flatten(1))
            found.append(float(accuracy(logits, data.validation.targets)))
    return found


def population(task: Task, data: TaskData, name: str, rates: list[float]) -> list[float]:
    """Train them together, as one rule at many learning rates."""
    with denormals_flushed():
        cohort = Population(task, data, [compile_program(zoo()[name])], [rates], seeds=[0])
        results = race(cohort, task, {"validation": data.validation}, halving=False)
    return [child.accuracy or 0.0 for rate in results[0] for child in rate]


def seconds(work: Callable[[], list[float]]) -> tuple[float, list[float]]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--children", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--optimizers", nargs="+", default=list(PLAIN), choices=list(PLAIN))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = get_task(arguments.task)
    data = load_task_data(task, arguments.data_dir)
    if not isinstance(task.model, MLP):
        from forms import table_of  # the script beside this one

        forms = [*possible_forms(task, data)]
        for children in arguments.children:
            table = table_of(task, data, arguments.optimizers, children, forms, turns=3 * arguments.repeats, steps=2)
            Console(width=120).print(table)
        return
    table = Table(title=f"{task.name}: children/min, 1 thread, {platform.machine()}, torch {torch.__version__}")
    for column in ("optimizer", "children", "plain loop", "population", "ratio", "largest difference in accuracy"):
        table.add_column(column, justify="right")
    for name in arguments.optimizers:
        for children in arguments.children:
            rates = [10 ** (-3 + 2 * i / children) for i in range(children)]
            plain, together, difference = [], [], 0.0
            for _ in range(arguments.repeats):
                a, first = seconds(partial(plain_loop, task, data, name, rates))
                b, second = seconds(partial(population, task, data, name, rates))
                plain.append(children / a * 60)
                together.append(children / b * 60)
                difference = max(difference, *(abs(x - y) for x, y in zip(first, second, strict=True)))
            ratio = statistics.median(t / p for t, p in zip(together, plain, strict=True))
            one, many = statistics.median(plain), statistics.median(together)
            table.add_row(name, str(children), f"{one:,.0f}", f"{many:,.0f}", f"{ratio:.1f}x", f"{difference:.4f}")
    Console().print(table)


if __name__ == "__main__":
    main()
