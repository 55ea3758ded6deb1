"""A whole search: from a configuration to a run folder with found rules and finalists."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from controllers import Known, create_controller
from neuropt.config import NEED_TUNE, WHEREABOUTS, SearchConfig
from neuropt.evaluating.finalists import finalists
from neuropt.reporting.tables import print_rows
from neuropt.searching.engine import OtherProposals, SearchEngine, child_seeds
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.facts import is_begun, ledger_to_go_on_with, now, run_facts
from neuropt.searching.ledger import Ledger, create_ledger
from neuropt.searching.ledger_file import damaged
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
from neuropt.searching.snapshots import SnapshotEngine, load_snapshot, save_snapshot
from neuropt.searching.trial_size import with_trial_size
from neuropt.searching.warm_start import known_from_json, known_strings, known_to_json
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.recording import record_trajectory
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
        known_strings(config, space)  # what is wrong with it is said before there is a folder
        _check_address(config)
        config = with_trial_size(config, task, data)
        create_run(folder, config)
    with locked(folder), closing(_ledger(folder, config, task, data, space, accept_changes, console)) as ledger:
        _search(config, task, data, space, ledger, folder, accept_changes, console)
    return folder


def _ledger(
    folder: Path,
    config: SearchConfig,
    task: Task,
    data: TaskData,
    space: SearchSpace,
    accept_changes: bool,
    console: Console | None,
) -> Ledger:
    """Start the ledger of a run, or open it and check that the run can go on here."""
    facts = run_facts(config, task, data)
    if not is_begun(folder / LEDGER):
        # recorded, so that the search goes on exactly even where an earlier run has changed meanwhile
        known = known_to_json(known_strings(config, space))
        return create_ledger(
            folder / LEDGER, {"created": now(), "config": config.to_toml(), "warm_start": known}, facts
        )
    return ledger_to_go_on_with(folder / LEDGER, facts, accept_changes, console)


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
    engine = resumed_engine(config, task, data, space, ledger, accept_changes, console, folder)
    executor = make_executor(config, task, data)
    try:
        with engine.progress:
            executor.search(SnapshotEngine(engine, folder))
        save_snapshot(folder, engine)
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


def resumed_engine(
    config: SearchConfig,
    task: Task,
    data: TaskData,
    space: SearchSpace,
    ledger: Ledger,
    accept_changes: bool,
    console: Console | None,
    folder: Path,
) -> SearchEngine:
    """Return the engine, where the ledger left off.

    Where versions were changed, the controller may propose other rules than it did. If that is accepted it begins afresh, and knows the
    rules of the ledger as duplicates.
    """

    def engine() -> SearchEngine:
        controller = create_controller(config.controller, space, config.seed)
        controller.begin(_known(ledger))
        proposer = Proposer(controller, space, record_trajectory(task, data))
        return SearchEngine(config, proposer, task, ledger, _progress(config, folder, console))

    found = engine()
    try:
        found.resume(load_snapshot(folder, engine()))
    except OtherProposals:
        if not accept_changes:
            raise
        ledger.write_environment(ledger.facts(), afresh=True)
        if console is not None:
            console.print(f"{ledger.path}: the controller proposes other rules now; it begins afresh", soft_wrap=True)
        found = engine()
        found.resume()
    return found


def _progress(config: SearchConfig, folder: Path, console: Console | None) -> Progress:
    if not config.tensorboard:
        return Progress(config.rules, console)
    from neuropt.searching.tensorboard import TensorBoardProgress  # brings protobuf

    return TensorBoardProgress(config.rules, console, folder)


def _known(ledger: Ledger) -> list[Known]:
    """Return what the search began from, as recorded."""
    try:
        return known_from_json(ledger.meta().get("warm_start", "[]"))
    except (ValueError, TypeError):
        raise damaged(ledger.path, "what the search began from (table meta)") from None


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
    from neuropt.searching.cluster import Resources
    from neuropt.searching.tune_executor import TuneExecutor

    data_dir = Path(config.data_dir) if config.data_dir else None
    resources = Resources(config.cpus_per_child or 1.0, config.gpus_per_child or 0.0)
    return TuneExecutor(
        task, data_dir, config.address, config.workers, config.child_seconds, config.child_memory, resources
    )


def _check_address(config: SearchConfig) -> None:
    if config.executor == "tune" and config.address is not None:
        from neuropt.searching.cluster import check_address

        check_address(config.address)


def _task(config: SearchConfig) -> Task:
    task = get_task(config.task)
    return task if config.steps is None else task.with_budget(config.steps)


def _stem(name: str) -> str:
    return Path(name).stem


def _short(data: TaskData) -> str:
    return f"data {data.sha256[:12]}"
