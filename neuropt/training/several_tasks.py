"""Train the same rules on several tasks of one shape in one buffer: other data, the same network, batch size and budget.

digits-mlp with clean labels and with a share of them exchanged, or one data set in several resolutions, are such tasks. All children of a
rule at a learning rate stand in one column, a row for each task and seed, so that one set of calls does the rules' steps on all tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.compiling.program import compile_program
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import MLP, Task, TaskData
from neuropt.training.children import Results, race
from neuropt.training.population import Population
from neuropt.training.train import check_lists, cohort_slices, is_batched, whole_float32
from search_space import Rule

SHAPE = ("model", "batch_size", "steps", "loss_bound")
"""Fields of a task that tasks of one shape share."""


def train_on_tasks(
    tasks: Sequence[Task],
    data: Sequence[TaskData],
    rules: Sequence[Rule],
    learning_rates: Sequence[Sequence[float]],
    seeds: Sequence[int],
    *,
    test: bool = False,
    schedule: str = CONSTANT,
) -> list[Results]:
    """Train every rule at each of its learning rates, on each task and seed, without halving.

    A learning rate that loses on one task may win on another, so all of them go to the end; a child that diverged leaves the buffer when
    it did so on every task and seed.

    Args:
        tasks: of one `MLP`, batch size, number of steps and loss bound.
        data: of each task.
        rules, learning_rates, seeds, test, schedule: as in `train_rules`.

    Returns:
        for each task its children as [rule][learning rate][seed], with the numbers that `train_rules(..., halving=False)` gives.

    Raises:
        ValueError: no tasks, tasks of other shapes, other numbers of tasks and data; and as `train_rules(batched=True)`.

    Example:
        >>> from neuropt.tasks import get_task, load_task_data
        >>> from search_space import parse_rule
        >>> task = get_task("digits-mlp").with_budget(steps=2)
        >>> found = train_on_tasks([task, task], [load_task_data(task)] * 2, [parse_rule("g")], [[0.1]], [0])
        >>> found[0] == found[1]
        True
    """
    _check_tasks(tasks, data, schedule)
    check_lists(rules, learning_rates, seeds)
    members = [one for one in data for _ in seeds]
    splits = {"validation": [one.validation for one in members]} | (
        {"test": [one.test for one in members]} if test else {}
    )
    found: Results = []
    with whole_float32():
        rates = [len(row) for row in learning_rates]
        for chosen in cohort_slices(tasks[0], rates, len(members), "population"):
            programs = [compile_program(rule) for rule in rules[chosen]]
            cohort = Population(
                tasks[0], members, programs, learning_rates[chosen], [*seeds] * len(tasks), schedule=schedule
            )
            found += race(cohort, tasks[0], splits, halving=False)
    count = len(seeds)
    return [[[row[i * count : (i + 1) * count] for row in rule] for rule in found] for i in range(len(tasks))]


def _check_tasks(tasks: Sequence[Task], data: Sequence[TaskData], schedule: str) -> None:
    if not tasks:
        raise ValueError("tasks must hold at least one task, but got none")
    if len(tasks) != len(data):
        raise ValueError(f"{len(tasks)} tasks need {len(tasks)} data, but got {len(data)}")
    first = tasks[0]
    for task in tasks:
        if not isinstance(task.model, MLP) or not is_batched(task, schedule):
            what = task.name if schedule == CONSTANT else f"{task.name} under schedule {schedule!r}"
            raise ValueError(f"tasks must be trained batched, but {what} is trained one at a time")
        for field in SHAPE:
            if getattr(task, field) != getattr(first, field):
                raise ValueError(
                    f"tasks must be of one shape, but {task.name} has {field} {getattr(task, field)!r} "
                    f"and {first.name} has {getattr(first, field)!r}"
                )
