"""A whole search: from a configuration to a run folder with found rules and finalists."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from controllers import Known, create_controller
from controllers.controller_file import is_controller_file, read_controller_file
from neuropt.config import NEED_TUNE, TRACKED, WHEREABOUTS, SearchConfig
from neuropt.reporting.tables import print_rows
from neuropt.searching.curves import Curves, CurvesProgress
from neuropt.searching.engine import OtherProposals, SearchEngine
from neuropt.searching.executor import Executor
from neuropt.searching.facts import check_files, controller_facts, is_begun, ledger_to_go_on_with, now
from neuropt.searching.ledger import Ledger, create_ledger, open_ledger
from neuropt.searching.ledger_file import damaged
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import EXHAUSTED_AFTER
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
from neuropt.searching.rung_report import report_rungs, rung_lines
from neuropt.searching.snapshots import SnapshotEngine, load_snapshot, save_snapshot
from neuropt.searching.source import Source, source_of
from neuropt.searching.warm_start import known_from_json, known_strings, known_to_json
from neuropt.training.threads import one_thread
from search_space import SearchSpace, load_space


def run_search(
    config: SearchConfig,
    run: Path | str | None = None,
    *,
    resume: bool = False,
    accept_changes: bool = False,
    console: Console | None = None,
    given: Collection[str] | None = None,
) -> Path:
    """Search for update rules, train the best again on fresh seeds beside tuned built-ins, and print the table.

    Args:
        config: what to do; `resume` goes on with the run's own, but for where it is trained (`WHEREABOUTS`) if that is given.
        run: folder of the run; None takes a new one under `runs/`.
        resume: go on with the run in that folder; nothing that is finished is trained again.
        accept_changes: resume also with other versions, data, device or first weights than the run had; the ledger records the change.
        console: where to show progress and the table; None shows nothing.
        given: fields of `WHEREABOUTS` that `resume` takes from `config`; None: those that differ from the defaults.

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
        if given is None:
            given = [name for name in WHEREABOUTS if getattr(config, name) != getattr(SearchConfig, name)]
        moved = {name: getattr(config, name) for name in WHEREABOUTS if name in given}
        left: dict[str, Any] = dict.fromkeys(NEED_TUNE) if config.executor == "in-process" else {}
        config = replace(run_config(run), **(left | moved))
        if not accept_changes and is_begun(run / LEDGER):
            check_files(run / LEDGER, config)
    if is_controller_file(config.controller):
        config = replace(config, controller=read_controller_file(config.controller).typed)  # also from another folder
    source, space = source_of(config), load_space(config.space, config.groups)
    config = source.config
    if config.wandb is not None or config.mlflow is not None:
        from neuropt.searching.tracking import check_tracking  # brings Ray

        check_tracking(config)
    create_controller(config.controller, space, config.seed)  # a wrong name is refused before anything is written
    sha256 = source.prepare(space)
    folder = (
        run if run is not None else free_name(f"{space.name}-{space.groups}-{_stem(config.controller)}-{source.name}")
    )
    if not resume:
        known_strings(config, space)  # what is wrong with it is said before there is a folder
        config = source.settled(console)  # a resumed run follows what was written down
        create_run(folder, config)
    # what a controller learns must not depend on how many threads this process has: the last bits would
    with (
        locked(folder),
        one_thread(),
        closing(_ledger(folder, config, source, space, accept_changes, console)) as ledger,
    ):
        if console is not None and not ledger.finalists():
            groups = f"{space.groups} group{'s' * (space.groups > 1)}"
            what = f"{space.name}, {groups}, {_shown(config.controller)}, {source.name}"
            weights = source.facts()["weights_sha256"]
            hashes = f"(data {sha256[:12]}, weights {weights[:12]})"
            console.print(f"{folder}: {what} {hashes}{source.manner(config)}")
        _search(config, source, space, ledger, folder, accept_changes, console)
    return folder


def _ledger(
    folder: Path,
    config: SearchConfig,
    source: Source,
    space: SearchSpace,
    accept_changes: bool,
    console: Console | None,
) -> Ledger:
    """Start the ledger of a run, or open it and check that the run can go on here."""
    facts = source.facts() | controller_facts(config.controller)
    if not is_begun(folder / LEDGER):
        # recorded, so that the search goes on exactly even where an earlier run has changed meanwhile
        known = known_to_json(known_strings(config, space))
        return create_ledger(
            folder / LEDGER, {"created": now(), "config": config.to_toml(), "warm_start": known}, facts
        )
    return ledger_to_go_on_with(folder / LEDGER, facts, accept_changes, console)


def _search(
    config: SearchConfig,
    source: Source,
    space: SearchSpace,
    ledger: Ledger,
    folder: Path,
    accept_changes: bool,
    console: Console | None,
) -> None:
    if ledger.finalists():  # nothing is left to do
        show_finalists(folder, ledger, config, console)
        return
    engine = resumed_engine(config, source, space, ledger, accept_changes, console, folder)
    executor = source.executor(ledger)
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
        if console is not None:
            for line in rung_lines(report_rungs(ledger.climbed()), ledger.counts()["trained"]):
                console.print(line, soft_wrap=True)
        _finish(config, source, ledger, executor, folder, console)
    finally:
        executor.close()
    show_finalists(folder, ledger, config, console)


def resumed_engine(
    config: SearchConfig,
    source: Source,
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

    def engine(progress: Progress) -> SearchEngine:
        controller = create_controller(config.controller, space, config.seed)
        controller.begin(_known(ledger))
        proposer = source.proposer(controller, space)
        return SearchEngine(config, proposer, source.range, ledger, progress, source.seeds)

    snapshot = load_snapshot(folder, engine(Progress(config.rules, None)))
    found = engine(_progress(config, folder, console))
    try:
        found.resume(snapshot)
    except OtherProposals:
        if not accept_changes:
            raise
        ledger.write_environment(ledger.facts(), afresh=True)
        if console is not None:
            console.print(f"{ledger.path}: the controller proposes other rules now; it begins afresh", soft_wrap=True)
        found = engine(_progress(config, folder, console))
        found.resume()
    return found


def _progress(config: SearchConfig, folder: Path, console: Console | None) -> Progress:
    begin: list[Callable[[], Curves]] = []
    if config.tensorboard:
        from neuropt.searching.tensorboard import TensorBoard  # brings protobuf

        begin.append(partial(TensorBoard, folder))
    for name in TRACKED:
        if getattr(config, name) is not None:
            from neuropt.searching.tracking import Tracking  # brings Ray

            begin.append(partial(Tracking, name, config, folder, console))
    return CurvesProgress(config.rules, console, begin) if begin else Progress(config.rules, console)


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
    source: Source,
    ledger: Ledger,
    executor: Executor,
    folder: Path,
    console: Console | None,
) -> None:
    """Train the best rules again on fresh seeds, beside tuned built-ins, and record the table."""
    best = ledger.best(config.finalists)
    if not best:
        return
    say = None if console is None else lambda what: console.print(f"finalists: {what}", soft_wrap=True)
    rows = source.finalists(folder.name, best, RecordedExecutor(executor, ledger), say)
    ledger.write_finalists(row.to_json() for row in rows)


def show_finalists(folder: Path, ledger: Ledger, config: SearchConfig, console: Console | None) -> None:
    """Print the table of a run."""
    rows = finalist_rows(ledger)
    if console is not None and rows:
        print_rows(rows, f"Finalists of {folder} on {config.task}", console)


def rule_to_take(folder: Path) -> str:
    """Return `RUN:k` of the found rule that stands highest among the finalists, or of the best by reward where there are none."""
    with closing(open_ledger(folder / LEDGER)) as ledger:
        found = [row for row in finalist_rows(ledger) if row.rule is not None and row.failure is None]  # the best first
    position = found[0].optimizer.rpartition(":")[2] if found else "1"
    return f"{folder}:{position}"


def _stem(name: str) -> str:
    return Path(name).stem


def _shown(controller: str) -> str:
    """Return the name of a preset, or of a file without its folder."""
    return Path(controller).name if is_controller_file(controller) else controller
