"""A whole search: from a configuration to a run folder with found rules and finalists."""

from __future__ import annotations

import platform
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from controllers import create_controller
from neuropt.config import NEED_TUNE, WHEREABOUTS, SearchConfig
from neuropt.evaluating.finalists import finalists
from neuropt.reporting.tables import print_rows
from neuropt.searching.engine import OtherProposals, SearchEngine, child_seeds
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.ledger import Ledger, create_ledger, open_ledger
from neuropt.searching.ledger_file import FACTS, LedgerError
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import EXHAUSTED_AFTER, Proposer
from neuropt.searching.recorded import RecordedExecutor, finalist_rows
from neuropt.searching.run_folder import (
    LEDGER,
    RunError,
    create_run,
    free_name,
    locked,
    run_config,
    save_controller,
)
from neuropt.tasks import get_task, initial_weights, load_task_data
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.task import Task, TaskData
from neuropt.training.recording import record_trajectory
from neuropt.training.threads import CHILD_THREADS
from neuropt.training.train import is_batched
from search_space import SearchSpace, load_space, parse_rule


def run_search(
    config: SearchConfig,
    run: Path | str | None = None,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    console: Console | None = None,
) -> Path:
    """Search for update rules, train the best again on fresh seeds beside tuned built-ins, and print the table.

    Args:
        config: what to do; `resume` goes on with the run's own, but for where it is trained (`WHEREABOUTS`) if that is given.
        run: folder of the run; None takes a new one under `runs/`.
        resume: go on with the run in that folder; nothing that is finished is trained again.
        accept_changes: resume also with other versions, data or first weights than the run had; the ledger records the change.
        console: where to show progress and the table; None shows nothing.

    Returns:
        the folder of the run.

    Raises:
        ValueError: a bad name, folder, ledger or address, in one line.
        KeyboardInterrupt: interrupted; what is finished is in the ledger and `resume` goes on.
    """
    if accept_changes and not resume:
        raise ValueError("accept_changes is for a run that goes on: it needs resume")
    run = None if run is None else Path(run)
    if resume:
        if run is None:
            raise RunError("resume needs the folder of the run: --run DIR")
        usual = SearchConfig()
        moved = {name: value for name in WHEREABOUTS if (value := getattr(config, name)) != getattr(usual, name)}
        left: dict[str, Any] = dict.fromkeys(NEED_TUNE) if config.executor == "in-process" else {}
        config = replace(run_config(run), **(left | moved))
    if config.batched == "yes" and not is_batched(get_task(config.task)):
        raise ValueError(f"batched yes needs a task whose model is an MLP, but {config.task} is trained one at a time")
    task, space = _task(config), load_space(config.space, config.groups)
    create_controller(config.controller, space, config.seed)  # a wrong name is refused before anything is written
    data = load_task_data(task, Path(config.data_dir) if config.data_dir else None)
    folder = (
        run if run is not None else free_name(f"{space.name}-{space.groups}-{_stem(config.controller)}-{task.name}")
    )
    if not resume:
        create_run(folder, config)
    facts = run_facts(config, task, data)
    with locked(folder), closing(_ledger(folder / LEDGER, config, facts, accept_changes, console)) as ledger:
        _search(config, task, data, space, ledger, folder, accept_changes, console)
    return folder


def _ledger(
    path: Path, config: SearchConfig, facts: dict[str, str], accept_changes: bool, console: Console | None
) -> Ledger:
    """Start the ledger of a run, or open it and check that the run can go on here."""
    if not path.exists() or path.stat().st_size == 0:  # empty: somebody touched it
        path.unlink(missing_ok=True)
        return create_ledger(path, {"created": now(), "config": config.to_toml()}, facts)
    with closing(open_ledger(path)) as ledger:  # only read: one that is refused stays as it is
        changes = _changes(ledger, facts)
    if changes and not accept_changes:
        raise LedgerError(
            f"{path}: {'; '.join(changes)}. Resume where they are the same, or go on with --accept-changes: "
            "the ledger records which results came after"
        )
    ledger = open_ledger(path, read_only=False)
    if changes:
        ledger.write_environment(facts)
        if console is not None:
            console.print(f"{path}: goes on with changes: {'; '.join(changes)}", soft_wrap=True)
    return ledger


def _changes(ledger: Ledger, facts: dict[str, str]) -> list[str]:
    """Return what differs from the environment that the run was in last, a line each."""
    recorded = ledger.facts()
    return [
        f"{name} was {recorded[name]}, but here it is {facts[name]}"
        for name in FACTS
        if name in recorded and recorded[name] != facts[name]
    ]


def _search(
    config: SearchConfig,
    task: Task,
    data: TaskData,
    space: SearchSpace,
    ledger: Ledger,
    folder: Path,
    accept_changes: bool,
    console: Console | None,
) -> None:
    if ledger.finalists():  # nothing is left to do
        show_finalists(folder, ledger, config, console)
        return
    if console is not None:
        console.print(
            f"{folder}: {space.name}, {space.groups} groups, {config.controller}, {task.name} ({_short(data)})"
        )
    engine = _resumed(config, task, data, space, ledger, accept_changes, console)
    executor = make_executor(config, task, data)
    try:
        with engine.progress:
            executor.search(engine)
        save_controller(folder, engine.controller)
        if engine.proposer.exhausted and console is not None:
            console.print(
                f"The space is exhausted: {EXHAUSTED_AFTER:,} proposals in a row held no new rule. "
                f"{engine.rules} of {config.rules} rules were found."
            )
        _check_trained(ledger)
        _finish(config, task, data, ledger, executor, folder, console)
    finally:
        executor.close()
    show_finalists(folder, ledger, config, console)


def _resumed(
    config: SearchConfig,
    task: Task,
    data: TaskData,
    space: SearchSpace,
    ledger: Ledger,
    accept_changes: bool,
    console: Console | None,
) -> SearchEngine:
    """Return the engine, where the ledger left off.

    Where versions were changed, the controller may propose other rules than it did. If that is accepted it begins afresh, and knows the
    rules of the ledger as duplicates.
    """

    def engine() -> SearchEngine:
        controller = create_controller(config.controller, space, config.seed)
        proposer = Proposer(controller, space, record_trajectory(task, data))
        return SearchEngine(config, proposer, task, ledger, Progress(config.rules, console))

    found = engine()
    try:
        found.resume()
    except OtherProposals:
        if not accept_changes:
            raise
        ledger.write_environment(ledger.facts(), afresh=True)
        if console is not None:
            console.print(f"{ledger.path}: the controller proposes other rules now; it begins afresh", soft_wrap=True)
        found = engine()
        found.resume()
    return found


def _check_trained(ledger: Ledger) -> None:
    """Say so if not one rule could be trained, instead of an empty table."""
    failures = ledger.failures(1)
    if failures and not ledger.best(1):
        raise RunError(f"no rule could be trained; the first failed with {failures[0]}")


def _finish(
    config: SearchConfig,
    task: Task,
    data: TaskData,
    ledger: Ledger,
    executor: Executor,
    folder: Path,
    console: Console | None,
) -> None:
    """Train the best rules again on fresh seeds, beside tuned built-ins, and record the table."""
    best = ledger.best(config.finalists)
    if not best:
        return
    rows = finalists(
        [(f"{folder.name}:{rule.position}", parse_rule(rule.rule)) for rule in best],
        task,
        data,
        RecordedExecutor(executor, ledger),
        report_seeds=config.finalist_seeds,
        seed=config.seed,
        reward=config.reward,
        grid=config.grid,
        used_seeds=child_seeds(config),
        progress=None if console is None else lambda what: console.print(f"finalists: {what}", soft_wrap=True),
    )
    ledger.write_finalists(row.to_json() for row in rows)


def show_finalists(folder: Path, ledger: Ledger, config: SearchConfig, console: Console | None) -> None:
    """Print the table of a run."""
    rows = finalist_rows(ledger)
    if console is not None and rows:
        print_rows(rows, f"Finalists of {folder} on {config.task}", console)


def make_executor(config: SearchConfig, task: Task, data: TaskData) -> Executor:
    """Return the executor that the configuration names; Ray is imported only if it is needed."""
    if config.executor == "in-process":
        return InProcessExecutor(task, data)
    from neuropt.searching.tune_executor import TuneExecutor

    data_dir = Path(config.data_dir) if config.data_dir else None
    return TuneExecutor(task, data_dir, config.address, config.workers, config.child_seconds, config.child_memory)


def run_facts(config: SearchConfig, task: Task, data: TaskData) -> dict[str, str]:
    """Return what the numbers of a run depend on besides its configuration: the `FACTS` of its ledger."""
    weights = hash_tensors(*(initial_weights(task, seed) for seed in child_seeds(config)))
    return {
        "neuropt": version("neuropt"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(CHILD_THREADS),
        "data_sha256": data.sha256,
        "weights_sha256": weights,
    }


def now() -> str:
    """Return the time, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _task(config: SearchConfig) -> Task:
    task = get_task(config.task)
    return task if config.steps is None else task.with_budget(config.steps)


def _stem(name: str) -> str:
    return Path(name).stem


def _short(data: TaskData) -> str:
    return f"data {data.sha256[:12]}"
