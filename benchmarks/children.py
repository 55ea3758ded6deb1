"""Children a minute: a batched population against a plain torch loop over the same children, in one run, one thread.

    python benchmarks/children.py                                     # digits-mlp
    python benchmarks/children.py --task mnist-mlp --data-dir DIR --children 10 32
    python benchmarks/children.py --split                             # where a population's time goes, and what bounds it
    python benchmarks/children.py --rules 10 50 200                   # rules as a search proposes them, with halving and without

Both sides train the same children: one optimizer at K learning rates, the same weights and batches, to the end of the task's budget, and
evaluate each on the validation split. The plain loop is what a person would write: `nn.Sequential`, autograd, and torch's own optimizer
(PowerSign: our hand-coded one). The two take turns, `--repeats` times; the table shows medians and their ratio. Times are processor time,
which other work on the machine moves less than the clock; with `--device cuda` they are the clock's, until the GPU has done all.
A task whose model is no MLP is measured in each of its forms instead, as by `benchmarks/forms.py`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from population_split import calls_of_a_step, split_table
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim import Optimizer

from controllers import create_controller
from neuropt.compiling.program import compile_program
from neuropt.optimizers import PowerSign
from neuropt.searching.proposing import Proposer
from neuropt.tasks import accuracy, batch_order, build_model, cross_entropy, get_task, load_task_data
from neuropt.tasks.task import MLP, Task, TaskData
from neuropt.training.children import race
from neuropt.training.devices import CPU, device_name, find_device, placed, wait
from neuropt.training.forms import possible_forms
from neuropt.training.learning_rates import learning_rates
from neuropt.training.population import Population
from neuropt.training.recording import record_trajectory
from neuropt.training.train import train_rules, whole_float32
from search_space import Rule, load_space, parse_rule, zoo

PLAIN: dict[str, Callable[[list[nn.Parameter], float], Optimizer]] = {
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr),
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),
    "powersign": lambda parameters, lr: PowerSign(parameters, lr=lr),
}
RULES_A_TRIAL = 20
"""The rules of a search train together in trials of so many, unless told otherwise."""


def plain_loop(
    task: Task, data: TaskData, name: str, rates: list[float], device: torch.device = CPU, ulp: bool = False
) -> list[float]:
    """Train the children one after the other; return their validation accuracies. `ulp`: from weights one ulp larger."""
    order = batch_order(len(data.train), task.batch_size, task.steps, seed=0).to(device)
    train, validation = placed(data.train, device), placed(data.validation, device)
    found = []
    for rate in rates:
        model = build_model(task, seed=0).to(device)
        if ulp:
            for parameter in model.parameters():
                parameter.data = torch.nextafter(parameter.data, torch.full_like(parameter, torch.inf))
        optimizer = PLAIN[name](list(model.parameters()), rate)
        for chosen in order:
            optimizer.zero_grad()
            loss: Tensor = cross_entropy(model(train.inputs[chosen].flatten(1)), train.targets[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
        with torch.no_grad():
            logits = model(validation.inputs.flatten(1))
            found.append(float(accuracy(logits, validation.targets)))
    return found


def population(task: Task, data: TaskData, name: str, rates: list[float], device: torch.device = CPU) -> list[float]:
    """Train them together, as one rule at many learning rates."""
    with whole_float32():
        cohort = Population(task, data, [compile_program(zoo()[name])], [rates], seeds=[0], device=device)
        results = race(cohort, task, {"validation": data.validation}, halving=False)
    return [child.accuracy or 0.0 for rate in results[0] for child in rate]


def seconds(work: Callable[[], list[float]], device: torch.device = CPU) -> tuple[float, list[float]]:
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    began = clock()
    found = work()
    wait(device)
    return clock() - began, found


def compare(task: Task, data: TaskData, arguments: argparse.Namespace) -> Table:
    """Time both sides in turns."""
    device = find_device(arguments.device)
    place = f"{device_name(device)} of {platform.machine()}"
    table = Table(title=f"{task.name}: children/min, 1 thread, {place}, torch {torch.__version__}")
    difference = "largest difference in accuracy"
    for column in (
        "optimizer",
        "children",
        "plain loop",
        "population",
        "ratio",
        difference,
        "at lr",
        "an ulp moves it by",
    ):
        table.add_column(column, justify="right")
    for name in arguments.optimizers:
        for children in arguments.children:
            rates = [10 ** (-3 + 2 * i / children) for i in range(children)]
            turns = [
                (
                    seconds(partial(plain_loop, task, data, name, rates, device), device),
                    seconds(partial(population, task, data, name, rates, device), device),
                )
                for _ in range(arguments.repeats)
            ]
            ratio = statistics.median(plain / together for (plain, _), (together, _) in turns)
            per_minute = [children / statistics.median(turn[side][0] for turn in turns) * 60 for side in (0, 1)]
            ones, others = turns[0][0][1], turns[0][1][1]
            worst = max(range(children), key=lambda i: abs(ones[i] - others[i]))
            row = [name, str(children), *(f"{x:,.0f}" for x in per_minute), f"{ratio:.1f}x"]
            if abs(ones[worst] - others[worst]) < 1e-6:
                table.add_row(*row, "0", "", "")
                continue
            moved = plain_loop(task, data, name, [rates[worst]], device, ulp=True)[0]
            chaos = f"{abs(moved - ones[worst]):.4f}"
            table.add_row(*row, f"{abs(ones[worst] - others[worst]):.4f}", f"{rates[worst]:.3g}", chaos)
    return table


def proposed(task: Task, data: TaskData, space: str, count: int) -> tuple[list[Rule], list[tuple[float, ...]]]:
    """Return rules that a random search would train, with their learning rates."""
    loaded = load_space(space)
    proposer = Proposer(create_controller("random", loaded, seed=0), loaded, record_trajectory(task, data))
    rows = [row for row in proposer.next_rules(count) if row.status == "new"]
    return [parse_rule(row.rule) for row in rows], [learning_rates("scaled", row.scale or 1.0) for row in rows]


def in_trials(
    task: Task, data: TaskData, rules: Sequence[Rule], rates: Sequence[Sequence[float]], halving: bool
) -> list[float]:
    """Train rules as a search does and return the best validation accuracy of each."""
    best = []
    for first in range(0, len(rules), RULES_A_TRIAL):
        part = slice(first, first + RULES_A_TRIAL)
        found = train_rules(task, data, rules[part], rates[part], [0], halving=halving)
        best += [max(child.accuracy or 0.0 for row in rule for child in row) for rule in found]
    return best


def searched(task: Task, data: TaskData, arguments: argparse.Namespace) -> Table:
    """Measure rules of a search: a minute's rules with halving and without, and the calls of a step."""
    table = Table(
        title=f"{task.name}: rules of {arguments.space}, 7 learning rates, 1 thread, torch {torch.__version__}"
    )
    for column in (
        "rules", "rules/min with halving", "without", "ratio", "same best accuracy", "given up", "in the best half",
        "calls a step, all in one buffer", "of one rule",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for count in arguments.rules:
        rules, rates = proposed(task, data, arguments.space, count)
        turns = [
            [seconds(partial(in_trials, task, data, rules, rates, halving)) for halving in (True, False)]
            for _ in range(arguments.repeats)
        ]
        halved, full = (60 * count / statistics.median(turn[side][0] for turn in turns) for side in (0, 1))
        lost = [
            b - a for b, a in sorted(zip(turns[0][1][1], turns[0][0][1], strict=True), reverse=True)
        ]  # best rules first
        calls = calls_of_a_step(task, data, [compile_program(rule) for rule in rules], rates)
        ratio = statistics.median(without[0] / with_halving[0] for with_halving, without in turns)
        table.add_row(
            str(count), f"{halved:,.0f}", f"{full:,.0f}", f"{ratio:.2f}x",
            f"{100 * statistics.mean(abs(x) < 1e-6 for x in lost):.0f} %",
            *(f"{statistics.mean(some):.4f}" for some in (lost, lost[: -(-count // 2)])),
            str(calls), f"{calls / count:.1f}",
        )  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--children", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--optimizers", nargs="+", default=list(PLAIN), choices=list(PLAIN))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--split", action="store_true", help="where a population's time goes instead")
    parser.add_argument("--rules", type=int, nargs="+", default=None, help="so many rules of a search instead")
    parser.add_argument("--space", default="icml2017", help="of --rules")
    parser.add_argument("--device", default="cpu", help="where both sides train, such as cuda")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and (arguments.split or arguments.rules):
        parser.error("--split and --rules are measured on the CPU")
    try:
        device = find_device(arguments.device)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(1)
    task = get_task(arguments.task)
    data = load_task_data(task, arguments.data_dir)
    if not isinstance(task.model, MLP):
        from forms import table_of  # the script beside this one

        forms = [*possible_forms(task, data)]
        for children in arguments.children:
            turns = 3 * arguments.repeats
            table = table_of(task, data, arguments.optimizers, children, forms, turns, steps=2, device=device)
            Console(width=120).print(table)
        return
    console = Console(width=160)
    if arguments.split:
        groups = {
            f"{name} at {count} rates": ([zoo()[name]], [[1e-3] * count])
            for name in arguments.optimizers
            for count in arguments.children
        }
        rules, rates = proposed(task, data, arguments.space, RULES_A_TRIAL)
        groups |= {
            f"{RULES_A_TRIAL} rules of {arguments.space}, {keep} rates": (rules, [r[:keep] for r in rates])
            for keep in (7, 4, 2)
        }
        console.print(split_table(task, data, groups))
    elif arguments.rules:
        console.print(searched(task, data, arguments))
    else:
        console.print(compare(task, data, arguments))


if __name__ == "__main__":
    main()
