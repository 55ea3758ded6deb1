"""Snapshots of the controller during a search, so that going on with a long run is a matter of seconds.

The ledger stays the only truth. A snapshot is what replaying its first events through a fresh controller would give, and saves
that replay; without one, or with one that does not fit the ledger, everything is replayed.

    RUN/snapshot.pt    replaced as a whole every ten seconds: which ledger, its last event, trials that were told, state of the controller
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from neuropt.config import WHEREABOUTS
from neuropt.searching.executor import Trial
from neuropt.training.work import Done
from neuropt.writing import whole_file

if TYPE_CHECKING:
    from neuropt.searching.engine import SearchEngine

FILE = "snapshot.pt"
EVERY = 10.0
"""Seconds of a search that are replayed after it was killed, at most."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a search was.

    Args:
        of: what the ledger holds that the controller depends on; another ledger has another.
        events: of the ledger, that the controller has seen.
        told: trials that the controller was told of in their order; counts with `deterministic` alone.
        controller: its state.
    """

    of: Mapping[str, str]
    events: int
    told: int
    controller: Mapping[str, Any]


class SnapshotEngine:
    """An engine that keeps a snapshot now and then.

    Args:
        engine: of the search.
        folder: of the run.
    """

    def __init__(self, engine: SearchEngine, folder: Path) -> None:
        self.engine, self.folder, self.saved = engine, folder, time.monotonic()

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        """Return the engine's next trial."""
        if time.monotonic() >= self.saved + EVERY:
            save_snapshot(self.folder, self.engine)
            self.saved = time.monotonic()
        return self.engine.next_trial()

    def finish(self, number: int, done: Done) -> None:
        """Hand a result to the engine."""
        self.engine.finish(number, done)


def save_snapshot(folder: Path, engine: SearchEngine) -> None:
    """Keep where the engine is. A disk that is full costs the snapshot and nothing else: the ledger says so when it matters."""
    snapshot = Snapshot(_identity(engine), engine.ledger.events, engine.told, engine.controller.state_dict())
    # torch raises RuntimeError where a disk is full
    with suppress(OSError, RuntimeError), whole_file(folder / FILE) as file:
        torch.save(asdict(snapshot), file)


def load_snapshot(folder: Path, engine: SearchEngine) -> Snapshot | None:
    """Return the snapshot that fits the engine's ledger, if there is one.

    Args:
        folder: of the run.
        engine: one that is not used for anything else: its controller takes the state, to see whether it can.
    """
    if not (folder / FILE).is_file():
        return None
    snapshot = _fitting(folder, engine)
    if (
        snapshot is None
    ):  # it goes: a ledger that was put back to an earlier state may grow past it, and it would seem to fit
        with suppress(OSError):
            (folder / FILE).unlink()
    return snapshot


def _fitting(folder: Path, engine: SearchEngine) -> Snapshot | None:
    try:
        snapshot = Snapshot(**torch.load(folder / FILE, weights_only=True))
        if snapshot.of != _identity(engine) or not 0 < snapshot.events <= engine.ledger.events:
            return None
        engine.controller.load_state_dict(dict(snapshot.controller))
    except Exception:  # noqa: BLE001  # a file may hold anything; without it everything is replayed
        return None
    return snapshot


def _identity(engine: SearchEngine) -> dict[str, str]:
    """Return what decides a controller's course: what the run is, and where its results come from."""
    ledger = engine.ledger
    config = {name: value for name, value in asdict(engine.config).items() if name not in WHEREABOUTS}
    return {**ledger.meta(), **ledger.facts(), "environment": str(ledger.environment), "going on": repr(config)}
