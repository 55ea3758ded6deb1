"""`evaluate`: optimizers on tasks, from names to numbers."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from neuropt.config import Executor as ExecutorName
from neuropt.config import Grid, Reward
from neuropt.evaluating.contenders import Contender, check_names, find_contender
from neuropt.evaluating.evaluation import SUMMARY, TABLE, Evaluation
from neuropt.evaluating.protocol import Protocol, Say, Study, fresh_seeds, run_protocol
from neuropt.evaluating.row import ordered
from neuropt.optimizers.named_schedules import CONSTANT, find_schedule
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.rewards import reward_of
from neuropt.tasks import get_task, initial_weights, load_task_data
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.task import Task, TaskData
from neuropt.writing import out_folder
from search_space import Rule


def evaluate(
    optimizers: Sequence[str | Rule],
    tasks: Sequence[str],
    *,
    seeds: int = 10,
    tune_seeds: int = 3,
    grid: Grid = "scaled",
    reward: Reward | None = None,
    schedule: str | Sequence[str] = CONSTANT,
    out: Path | str | None = None,
    data_dir: Path | str | None = None,
    steps: int | None = None,
    executor: ExecutorName = "in-process",
    address: str | None = None,
    workers: int | None = None,
    seed: int = 0,
    progress: Say | None = None,
) -> Evaluation:
    """Compare optimizers on tasks: each tuned at seven learning rates, then trained on fresh seeds at its best.

    Args:
        optimizers: names of the catalogue or the zoo, `RUN:k`, rule text, or rules.
        tasks: names.
        seeds: fresh seeds that results are reported on.
        tune_seeds: seeds that learning rates are chosen on.
        grid: learning rates, scaled to each optimizer's own updates, or the paper's 10^-5 .. 10^1.
        reward: the validation metric that chooses and orders: accuracy, or the loss; None for each task's own.
        schedule: of the learning rate, one name or several of `neuropt.optimizers.named_schedules`; every optimizer is tuned and
            reported under each.
        out: folder for `children.csv` and `evaluation.json`; one that holds an evaluation is refused.
        data_dir: where data sets are; else NEUROPT_DATA, else downloads.
        steps: training steps; None leaves each task's own budget.
        executor: this process, or Ray.
        address, workers: of Ray; see `SearchConfig`.
        seed: root of all seeds.
        progress: told in a line what is done.

    Raises:
        ValueError: an unknown name, a name given twice, a number out of range, a folder in use; nothing is trained then.
    """
    _check(executor, reward, grid, address, seed=seed, seeds=seeds, tune_seeds=tune_seeds, steps=steps, workers=workers)
    contenders = [find_contender(text) for text in _listed(optimizers, "optimizers", Rule)]
    check_names(contenders)
    schedules = tuple(_listed(schedule, "schedule"))
    _check_schedules(schedules)
    known = [_task(name, steps) for name in _listed(tasks, "tasks")]
    _check_distinct(known)
    for task in known:
        reward_of(reward, task)
    folder = None if data_dir is None else Path(data_dir)
    loaded = [(task, load_task_data(task, folder)) for task in known]
    used = {s for contender in contenders for s in contender.used_seeds}
    tune, report = fresh_seeds([tune_seeds, seeds], root=seed, taken=used)
    protocol = Protocol(tune, report, reward, grid, schedules)
    studies: list[tuple[Task, tuple[Study, ...]]] = []
    with ExitStack() as stack:
        stack.enter_context(out_folder(None if out is None else Path(out), (TABLE, SUMMARY), "evaluation"))
        for task, data in loaded:
            trainer = _executor(executor, task, data, folder, address, workers)
            stack.callback(trainer.close)
            if progress is not None:
                hashes = _hashes(task, data, protocol)
                progress(f"{task.name}: " + ", ".join(f"{name} {sha256[:12]}" for name, sha256 in hashes.items()))
            studies.append((task, tuple(run_protocol(contenders, task, data, trainer, protocol, progress))))
    rows = [row for task, found in studies for row in ordered([study.row(task, protocol) for study in found])]
    evaluation = Evaluation(tuple(rows), tuple(studies), protocol, _facts(loaded, protocol, contenders))
    if out is not None:
        evaluation.save(Path(out))
    return evaluation


def _listed(values: Sequence[Any], name: str, *single: type) -> list[Any]:
    """Return the values as a list; one alone counts as a list of it."""
    if not isinstance(values, Iterable) and not isinstance(values, single):
        raise TypeError(f"evaluate({name}=...) must be a name or several, but got {values!r}")
    listed = [values] if isinstance(values, (str, *single)) else list(values)
    if not listed:
        raise ValueError(f"evaluate({name}=...) must name at least one, but got none")
    return listed


def _task(name: str, steps: int | None) -> Task:
    task = get_task(name)
    return task if steps is None else task.with_budget(steps)


def _check_schedules(names: Sequence[str]) -> None:
    for name in names:
        find_schedule(name)
        if names.count(name) > 1:
            raise ValueError(f"schedule {name!r} is given twice; every schedule is used once")


def _check_distinct(tasks: Sequence[Task]) -> None:
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"task {name!r} is given twice; every task is used once")


def _check(executor: str, reward: str | None, grid: str, address: str | None, seed: int, **numbers: int | None) -> None:
    for name, given, choice in (("executor", executor, ExecutorName), ("reward", reward, Reward), ("grid", grid, Grid)):
        if given not in get_args(choice) and not (name == "reward" and given is None):
            raise ValueError(f"{name} must be one of {', '.join(get_args(choice))}, but got {given!r}")
    for name, number in numbers.items():
        optional = name in ("steps", "workers") and number is None
        if not optional and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            raise ValueError(f"{name} must be a whole number of at least 1, but got {number!r}")
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ValueError(f"seed must be a whole number from 0 to 2^31 - 1, but got {seed!r}")
    if address is not None and executor != "tune":
        raise ValueError(f"address needs executor tune, but got executor {executor}")


def _executor(
    name: ExecutorName, task: Task, data: TaskData, data_dir: Path | None, address: str | None, workers: int | None
) -> Executor:
    if name == "in-process":
        return InProcessExecutor(task, data)
    from neuropt.searching.tune_executor import TuneExecutor  # imports ray

    return TuneExecutor(task, data_dir, address, workers)


def _facts(
    loaded: Sequence[tuple[Task, TaskData]], protocol: Protocol, contenders: Sequence[Contender]
) -> dict[str, str]:
    """Return what the numbers depend on."""
    facts = {name: version(name) for name in ("neuropt", "torch")} | {"python": platform.python_version()}
    facts |= {"machine": f"{platform.system()} {platform.machine()}"}
    for task, data in loaded:
        facts |= {f"{task.name} {what}_sha256": sha256 for what, sha256 in _hashes(task, data, protocol).items()}
    return facts | {f"rule {c.name}": c.shown_rule for c in contenders if c.shown_rule is not None}


def _hashes(task: Task, data: TaskData, protocol: Protocol) -> dict[str, str]:
    """Return the hashes of data, first weights on the report seeds, and the file of a user's own task."""
    weights = hash_tensors(*(initial_weights(task, seed) for seed in protocol.report_seeds))
    found = {"data": data.sha256, "weights": weights}
    return found if task.source is None else found | {"task": hashlib.sha256(task.source.text.encode()).hexdigest()}
