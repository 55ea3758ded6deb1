"""What the numbers of a run depend on besides its configuration, and whether a run can go on where they have changed."""

from __future__ import annotations

import platform
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console

import neuropt
from controllers.controller_file import is_controller_file, read_controller_file
from neuropt.config import SearchConfig
from neuropt.searching.engine import child_seeds
from neuropt.searching.ledger import Ledger, open_ledger
from neuropt.searching.ledger_file import FACTS, LedgerError
from neuropt.tasks import initial_weights
from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.task import Task, TaskData
from neuropt.tasks.task_file import file_sha256, is_task_file
from neuropt.training.threads import CHILD_THREADS


def run_facts(config: SearchConfig, task: Task, data: TaskData) -> dict[str, str]:
    """Return what the numbers of a run depend on besides its configuration: the `FACTS` of its ledger."""
    weights = hash_tensors(*(initial_weights(task, seed) for seed in child_seeds(config)))
    found = versions() | {"device": config.device, "data_sha256": data.sha256, "weights_sha256": weights}
    return found if task.source is None else found | {"task_sha256": file_sha256(task.typed)}


def controller_facts(controller: str) -> dict[str, str]:
    """Return the hash of a controller's own file, where it has one."""
    if not is_controller_file(controller):
        return {}
    return {"controller_sha256": read_controller_file(controller).sha256}


def check_files(ledger_path: Path, config: SearchConfig) -> None:
    """Refuse to run a file of a run's task or controller where it is not the one that the run was begun with.

    Raises:
        LedgerError: it has changed.
    """
    found = controller_facts(config.controller)
    if is_task_file(config.task):
        found["task_sha256"] = file_sha256(config.task)
    if not found:
        return
    with closing(open_ledger(ledger_path)) as ledger:
        recorded = ledger.facts()
    for name, sha256 in found.items():
        file = getattr(config, name.removesuffix("_sha256")).rpartition(":")[0]
        if recorded.get(name) != sha256:
            raise LedgerError(
                f"{ledger_path}: {name} was {recorded.get(name)}, but {file} now has {sha256}, so it is not run. "
                "Put the file back as it was, or go on with --accept-changes: the ledger records which results came after"
            )


def versions() -> dict[str, str]:
    """Return what numbers depend on besides data and weights."""
    return {
        "neuropt": neuropt.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(CHILD_THREADS),
    }


def now() -> str:
    """Return the time, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def is_begun(path: Path) -> bool:
    """Whether there is a ledger; an empty file, which somebody touched, goes."""
    if path.exists() and path.stat().st_size == 0:
        path.unlink()
    return path.exists()


def ledger_to_go_on_with(path: Path, facts: dict[str, str], accept_changes: bool, console: Console | None) -> Ledger:
    """Open the ledger of a run that is to go on.

    Raises:
        LedgerError: its facts were others, and that is not accepted; nothing is changed then. Or it cannot be opened.
    """
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
