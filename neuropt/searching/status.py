"""How a run goes, read from its folder by any process, while it searches or afterwards."""

from __future__ import annotations

import fcntl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_rows import FoundRule
from neuropt.searching.run_folder import CONTROLLER, LEDGER, LOCK, run_config
from neuropt.searching.rung_report import RungReport, report_rungs

State = Literal["searching", "training finalists", "interrupted", "finished"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a run has come to.

    Args:
        state: interrupted where no process holds the run and it is not finished.
        wanted: distinct rules that were asked for.
        trained, failed: rules that are done.
        stopped: rules among the trained ones that were stopped at a rung.
        training: rules that are asked for and not done.
        duplicates, rejected: proposals that cost no child.
        best: the best rule so far, None before there is one.
        metrics: what the controller said of its last update, such as its entropy in nats a token.
        failures: reasons of the first rules that failed.
        rungs: what each rung has done, and whether it judges as full training does; none where all rules are trained in full.
    """

    state: State
    wanted: int
    trained: int
    failed: int
    training: int
    duplicates: int
    rejected: int
    best: FoundRule | None
    metrics: dict[str, float]
    failures: tuple[str, ...]
    stopped: int
    rungs: tuple[RungReport, ...]


def run_status(folder: Path) -> RunStatus:
    """Return how the run in a folder goes; nothing in it is changed.

    Raises:
        ValueError: the folder holds no run, or a damaged one.
    """
    config, held = run_config(folder), _is_held(folder)
    with closing(open_ledger(folder / LEDGER)) as ledger:
        counts, best, finished = ledger.counts(), ledger.best(1), bool(ledger.finalists())
        metrics, failures = ledger.last_metrics(), tuple(ledger.failures(3))
        rungs = tuple(report_rungs(ledger.climbed()))
    complete = (folder / CONTROLLER).is_file()  # written when the last rule is trained
    return RunStatus(
        _state(finished or (complete and not held and not config.finalists), held, complete),
        config.rules,
        counts["trained"],
        counts["failed"],
        counts["new"] - counts["trained"] - counts["failed"],
        counts["duplicate"],
        counts["rejected"],
        best[0] if best else None,
        metrics,
        failures,
        counts["stopped"],
        rungs,
    )


def _state(finished: bool, held: bool, complete: bool) -> State:
    if finished:
        return "finished"
    if not held:
        return "interrupted"
    return "training finalists" if complete else "searching"


def _is_held(folder: Path) -> bool:
    """Whether a process searches in the folder."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
