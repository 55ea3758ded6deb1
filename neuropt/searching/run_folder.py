"""The folder of a run: `config.toml`, `ledger.sqlite`, and a lock while a process searches in it."""

from __future__ import annotations

import fcntl
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import torch

from controllers import Controller
from neuropt.config import SearchConfig, read_config
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_rows import FoundRule
from neuropt.writing import new_name, whole_file

RUNS = Path("runs")
CONFIG, LEDGER, LOCK, CONTROLLER = "config.toml", "ledger.sqlite", "lock", "controller.pt"
LOOKS = (0.05, 0.1, 0.0)
"""Seconds after each look for a free lock."""


class RunError(ValueError):
    """A run folder that cannot be used: names it and the way out."""


def find_run(text: str) -> Path:
    """Return the folder of a run: a path, or a name under `runs/`.

    Raises:
        RunError: neither is the folder of a run.
    """
    for folder in (Path(text), RUNS / text):
        if (folder / LEDGER).is_file():
            return folder
    raise RunError(f"{text!r} is no run: neither {text}/{LEDGER} nor {RUNS / text / LEDGER} exists")


def best_rules(run: Path, count: int) -> list[FoundRule]:
    """Return the best rules of a run, the best first."""
    ledger = open_ledger(run / LEDGER)
    try:
        return ledger.best(count)
    finally:
        ledger.close()


def create_run(folder: Path, config: SearchConfig) -> None:
    """Make the folder and write its configuration.

    Raises:
        RunError: the folder holds something already, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_empty(folder)
        with locked(folder):
            _check_empty(folder)  # two searches at once: one of them is refused
            with whole_file(folder / CONFIG) as file:
                file.write(config.to_toml().encode())
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}") from None


def _check_empty(folder: Path) -> None:
    """Refuse a folder with anything in it but what a search leaves that was killed at its very start."""
    if any(path.name not in (LOCK, new_name(folder / CONFIG).name) for path in folder.iterdir()):
        raise RunError(f"{folder} is not empty; go on with it by --resume, or choose another --run")


def run_config(folder: Path) -> SearchConfig:
    """Return the configuration of a run that is to go on.

    Raises:
        RunError: there is no run in the folder.
    """
    if not (folder / CONFIG).is_file():
        raise RunError(f"{folder} holds no run to resume: {folder / CONFIG} does not exist")
    return read_config(folder / CONFIG)


def save_controller(folder: Path, controller: Controller) -> None:
    """Keep the state of the controller at the end of a search.

    Raises:
        RunError: it cannot be written.
    """
    state = io.BytesIO()  # of a full disk torch itself says "unexpected pos 67584 vs 67536"
    torch.save(controller.state_dict(), state)
    try:
        with whole_file(folder / CONTROLLER) as file:
            file.write(state.getbuffer())
    except OSError as error:
        raise RunError(
            f"{folder / CONTROLLER} cannot be written: {error.strerror or error}. Free space and go on with --resume"
        ) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run for this process; the lock goes with the process, however it ends.

    Raises:
        RunError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")  # only in the folder of a run: `create_run` has refused any other
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}") from None
    with file:
        if not _taken(file):
            raise RunError(f"{folder} is in use by another process; wait for it, or choose another --run")
        yield


def _taken(file: IO[str]) -> bool:
    """Take the lock; who only looks whether it is held, as `neuropt status` does, holds it for an instant."""
    for wait in LOOKS:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(wait)
        else:
            return True
    return False


def free_name(stem: str) -> Path:
    """Return the first folder `runs/STEM-1`, `runs/STEM-2`, ... that does not exist."""
    number = 1
    while (RUNS / f"{stem}-{number}").exists():
        number += 1
    return RUNS / f"{stem}-{number}"
