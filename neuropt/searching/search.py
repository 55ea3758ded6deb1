"""A whole search: from a configuration to a run folder with found rules and finalists."""

from __future__ import annotations

import platform
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console

from controllers import Controller, create_controller
from neuropt.config import WHEREABOUTS, SearchConfig
from neuropt.evaluating.finalists import finalists
from neuropt.evaluating.row import Row
from neuropt.reporting.tables import print_rows
from neuropt.searching.engine import SearchEngine, child_seeds
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.ledger import Ledger, LedgerError, create_ledger, open_ledger
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import EXHAUSTED_AFTER, Proposer
from neuropt.searching.recorded import RecordedExecutor
from neuropt.searching.run_folder import CONTROLLER, LEDGER, RunError, create_run, free_name, locked, run_config
from neuropt.searching.warm_start import known_from_json, known_strings, known_to_json
from neuropt.tasks import get_task, initial_weights, load_task_data
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.task import Task, TaskData
from neuropt.training.recording import record_trajectory
from neuropt.training.train import is_batched
from search_space import SearchSpace, load_space, parse_rule


def run_search(
    config: SearchConfig, run: Path | str | None = None, *, resume: bool = False, console: Console | None = None
) -> Path:
    """Search for update rules, train the best again on fresh seeds beside tuned built-ins, and print the table.

    Args:
        config: what to do; `resume` goes on with the run's own, but for where it is trained (`WHEREABOUTS`) if that is given.
        run: folder of the run; None takes a new one under `runs/`.
        resume: go on with the run in that folder; nothing that is finished is trained again.
        console: where to show progress and the table; None shows nothing.

    Returns:
        the folder of the run.

    Raises:
        ValueError: a bad name, folder, ledger or address, in one line.
        KeyboardInterrupt: interrupted; what is finished is in the ledger and `resume` goes on.
    """
    run = None if run is None else Path(run)
    if resume:
        if run is None:
            raise RunError("resume needs the folder of the run: --run DIR")
        usual = SearchConfig()
        moved = {name: value for name in WHEREABOUTS if (value := getattr(config, name)) != getattr(usual, name)}
        config = replace(run_config(run), **moved)
    if config.batched == "yes" and not is_batched(get_task(config.task)):
        raise ValueError(f"batched yes needs a task whose model is an MLP, but {config.task} is trained one at a time")
    task, space = _task(config), load_space(config.space, config.groups)
    controller = create_controller(config.controller, space, config.seed)
    data = load_task_data(task, Path(config.data_dir) if config.data_dir else None)
    folder = (
        run if run is not None else free_name(f"{space.name}-{space.groups}-{_stem(config.controller)}-{task.name}")
    )
    if not resume:
        known_strings(config, space)  # what is wrong with it is said before there is a folder
        create_run(folder, config)
    with locked(folder), closing(_ledger(folder / LEDGER, config, space, run_facts(config, task, data))) as ledger:
        _search(config, task, data, space, controller, ledger, folder, console)
    return folder


def _ledger(path: Path, config: SearchConfig, space: SearchSpace, facts: dict[str, str]) -> Ledger:
    """Start the ledger of a run, or open it and check that the run can go on here."""
    if not path.exists() or path.stat().st_size == 0:  # empty: killed while it was made
        path.unlink(missing_ok=True)
        # recorded, so that the search goes on exactly even where an earlier run has changed meanwhile
        return create_ledger(path, {**facts, "warm_start": known_to_json(known_strings(config, space))})
    ledger = open_ledger(path, read_only=False)
    _check_facts(ledger, facts)
    return ledger


def _search(
    config: SearchConfig,
    task: Task,
    data: TaskData,
    space: SearchSpace,
    controller: Controller,
    ledger: Ledger,
    folder: Path,
    console: Console | None,
) -> None:
    if ledger.finalists():  # nothing is left to do
        show_finalists(folder, ledger, config, console)
        return
    controller.begin(known_from_json(ledger.meta().get("warm_start", "[]")))
    proposer = Proposer(controller, space, record_trajectory(task, data))
    if console is not None:
        console.print(
            f"{folder}: {space.name}, {space.groups} groups, {config.controller}, {task.name} ({_short(data)})"
        )
    progress = Progress(config.rules, console)
    engine = SearchEngine(config, proposer, task, ledger, progress)
    engine.resume()
    executor = make_executor(config, task, data)
    try:
        with progress:
            executor.search(engine)
        torch.save(controller.state_dict(), folder / CONTROLLER)
        if proposer.exhausted and console is not None:
            console.print(
                f"The space is exhausted: {EXHAUSTED_AFTER:,} proposals in a row held no new rule. "
                f"{engine.rules} of {config.rules} rules were found."
            )
        _check_trained(ledger)
        _finish(config, task, data, ledger, executor, folder, console)
    finally:
        executor.close()
    show_finalists(folder, ledger, config, console)


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
    texts = ledger.finalists()
    if console is not None and texts:
        print_rows([Row.from_json(text) for text in texts], f"Finalists of {folder} on {config.task}", console)


def make_executor(config: SearchConfig, task: Task, data: TaskData) -> Executor:
    """Return the executor that the configuration names; Ray is imported only if it is needed."""
    if config.executor == "in-process":
        return InProcessExecutor(task, data)
    from neuropt.searching.tune_executor import TuneExecutor

    return TuneExecutor(task, Path(config.data_dir) if config.data_dir else None, config.address, config.workers)


def run_facts(config: SearchConfig, task: Task, data: TaskData) -> dict[str, str]:
    """Return what the numbers of a run depend on, for its ledger."""
    weights = hash_tensors(*(initial_weights(task, seed) for seed in child_seeds(config)))
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config.to_toml(),
        "data_sha256": data.sha256,
        "weights_sha256": weights,
        "neuropt": version("neuropt"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _check_facts(ledger: Ledger, facts: dict[str, str]) -> None:
    """Refuse to go on with other data, weights or versions than a run began with."""
    recorded = ledger.meta()
    for name in ("data_sha256", "weights_sha256", "neuropt", "torch"):
        if recorded.get(name) != facts[name]:
            raise LedgerError(
                f"{ledger.path} was made with {name} {recorded.get(name)}, but here it is {facts[name]}; "
                "resume where they are the same, or start a new run"
            )


def _task(config: SearchConfig) -> Task:
    task = get_task(config.task)
    return task if config.steps is None else task.with_budget(config.steps)


def _stem(name: str) -> str:
    return Path(name).stem


def _short(data: TaskData) -> str:
    return f"data {data.sha256[:12]}"
