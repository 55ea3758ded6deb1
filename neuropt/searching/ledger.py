"""The ledger of a run: every proposal, duplicate, rejected rule, child and reward, in one SQLite file; the only truth after a crash.

Two kinds of events make a search, in one order: the controller is asked (`asked`), and it is told (`told`). Each is one transaction,
written before the search goes on, so replaying the events in their order through a fresh controller brings it to where it was. Rows are
added, never changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuropt.training.children import Child

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE asked (trial INTEGER PRIMARY KEY, event INTEGER NOT NULL UNIQUE);
CREATE TABLE proposals (
    id INTEGER PRIMARY KEY, trial INTEGER NOT NULL REFERENCES asked, tokens TEXT NOT NULL, rule TEXT NOT NULL, key TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('new', 'duplicate', 'rejected')),
    original INTEGER, reason TEXT, negated INTEGER NOT NULL, scale REAL);
CREATE TABLE told (trial INTEGER PRIMARY KEY REFERENCES asked, event INTEGER NOT NULL UNIQUE, seconds REAL, device TEXT);
CREATE TABLE rewards (
    proposal INTEGER PRIMARY KEY REFERENCES proposals, status TEXT NOT NULL CHECK (status IN ('trained', 'failed')),
    reward REAL NOT NULL, accuracy REAL, loss REAL, learning_rate REAL, reason TEXT);
CREATE TABLE children (
    proposal INTEGER NOT NULL REFERENCES proposals, learning_rate REAL NOT NULL, seed INTEGER NOT NULL, status TEXT NOT NULL,
    steps INTEGER NOT NULL, train_loss REAL, loss REAL, accuracy REAL, PRIMARY KEY (proposal, learning_rate, seed)) WITHOUT ROWID;
CREATE TABLE updates (number INTEGER PRIMARY KEY, metrics TEXT NOT NULL);
CREATE TABLE works (work TEXT PRIMARY KEY, done TEXT NOT NULL);
CREATE TABLE finalists (position INTEGER PRIMARY KEY, row TEXT NOT NULL);
"""


class LedgerError(ValueError):
    """A ledger that cannot be read or written: names the file and the way out."""


@dataclass(frozen=True, slots=True)
class ProposalRow:
    """What the ledger knows of a proposal before training.

    Args:
        id: the controller's.
        tokens: the string.
        rule: its text, negated where it descends only so.
        key: identity up to a factor of either sign.
        status: new, duplicate or rejected.
        original: of a duplicate, the proposal that had the rule first.
        reason: of a rejected rule.
        negated: whether the string says the opposite of `rule`.
        scale: mean |u| on the task's recorded trajectory.
    """

    id: int
    tokens: tuple[int, ...]
    rule: str
    key: str
    status: Literal["new", "duplicate", "rejected"]
    original: int | None
    reason: str | None
    negated: bool
    scale: float | None


@dataclass(frozen=True, slots=True)
class RewardRow:
    """What training a rule came to.

    Args:
        proposal: its id.
        status: trained or failed.
        reward: what the controller sees.
        accuracy, loss: validation, at the best learning rate, mean over seeds; None where no child came to the end.
        learning_rate: the best.
        reason: why it failed.
        children: all of them.
    """

    proposal: int
    status: Literal["trained", "failed"]
    reward: float
    accuracy: float | None
    loss: float | None
    learning_rate: float | None
    reason: str | None
    children: tuple[Child, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a search, as recorded: the asking or the telling of a trial."""

    kind: Literal["asked", "told"]
    trial: int


@dataclass(frozen=True, slots=True)
class FoundRule:
    """A trained rule of a run.

    Args:
        position: 1 for the best.
        proposal: its id.
        rule: text.
        reward, accuracy, loss, learning_rate: as in `RewardRow`.
    """

    position: int
    proposal: int
    rule: str
    reward: float
    accuracy: float | None
    loss: float | None
    learning_rate: float | None


class Ledger:
    """An open ledger. Use `create_ledger` or `open_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.events = self._count_events()

    def _count_events(self) -> int:
        query = "SELECT max(event) FROM (SELECT event FROM asked UNION ALL SELECT event FROM told)"
        with self._speaking():
            last = self.connection.execute(query).fetchone()[0]
        return 0 if last is None else last + 1

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Turn what SQLite says into one line that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: {error}; nothing was changed. {_cure(error)}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._speaking(), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection

    # -- writing -------------------------------------------------------------------------------------------------------------------

    def write_asked(self, trial: int, proposals: Sequence[ProposalRow]) -> None:
        """Record that the controller was asked for a trial, and all it proposed."""
        rows = [
            (p.id, trial, json.dumps(p.tokens), p.rule, p.key, p.status, p.original, p.reason, int(p.negated), p.scale)
            for p in proposals
        ]
        with self._transaction() as db:
            db.execute("INSERT INTO asked VALUES (?, ?)", (trial, self.events))
            db.executemany("INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.events += 1

    def write_told(self, trial: int, rewards: Sequence[RewardRow], seconds: float, device: str) -> None:
        """Record the results of a trial; the controller may learn from them once this returns."""
        with self._transaction() as db:
            db.execute("INSERT INTO told VALUES (?, ?, ?, ?)", (trial, self.events, seconds, device))
            db.executemany("INSERT INTO rewards VALUES (?, ?, ?, ?, ?, ?, ?)", [_reward_values(r) for r in rewards])
            db.executemany(
                "INSERT INTO children VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_child_values(r.proposal, child) for r in rewards for child in r.children],
            )
        self.events += 1

    def write_update(self, number: int, metrics: Mapping[str, float]) -> None:
        """Record what the controller said of its update `number`."""
        with self._transaction() as db:
            db.execute("INSERT INTO updates VALUES (?, ?)", (number, json.dumps(dict(metrics))))

    def write_work(self, work: str, done: str) -> None:
        """Record a piece of work of the finalists and what came of it, both as JSON, so that none is done twice."""
        with self._transaction() as db:
            db.execute("INSERT INTO works VALUES (?, ?)", (work, done))

    def works(self) -> dict[str, str]:
        """Return the works of the finalists that are done, as JSON."""
        return {str(work): str(done) for work, done in self._rows("SELECT work, done FROM works")}

    def write_finalists(self, rows: Iterable[str]) -> None:
        """Record the table of finalists, a JSON text a row."""
        with self._transaction() as db:
            db.executemany("INSERT INTO finalists VALUES (?, ?)", enumerate(rows, 1))

    # -- reading -------------------------------------------------------------------------------------------------------------------

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._speaking():
            return self.connection.execute(query, values).fetchall()

    def meta(self) -> dict[str, str]:
        """Return what a run is."""
        return {str(key): str(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def history(self) -> list[Event]:
        """Return all events in their order."""
        rows = self._rows(
            "SELECT 'asked', trial, event FROM asked UNION ALL SELECT 'told', trial, event FROM told ORDER BY 3"
        )
        return [Event("asked" if kind == "asked" else "told", int(str(trial))) for kind, trial, _ in rows]

    def proposals(self, trial: int) -> list[ProposalRow]:
        """Return the proposals of one trial, in their order."""
        rows = self._rows(
            "SELECT id, tokens, rule, key, status, original, reason, negated, scale FROM proposals WHERE trial = ? ORDER BY id",
            trial,
        )
        return [
            ProposalRow(i, tuple(json.loads(tokens)), rule, key, status, original, reason, bool(negated), scale)  # type: ignore[arg-type]  # typed by the schema
            for i, tokens, rule, key, status, original, reason, negated, scale in rows
        ]

    def rewards(self, trial: int) -> list[RewardRow]:
        """Return the results of one trial, without its children."""
        rows = self._rows(
            "SELECT proposal, r.status, reward, accuracy, loss, learning_rate, r.reason "
            "FROM rewards r JOIN proposals p ON p.id = r.proposal WHERE p.trial = ? ORDER BY proposal",
            trial,
        )
        return [RewardRow(*row) for row in rows]  # type: ignore[arg-type]  # typed by the schema

    def last_update(self) -> int:
        """Return the number of the controller's last recorded update; 0 before the first."""
        return int(str(self._rows("SELECT coalesce(max(number), 0) FROM updates")[0][0]))

    def counts(self) -> dict[str, int]:
        """Return how many proposals are new, duplicate and rejected, and how many rules are trained and failed."""
        found = self._rows("SELECT status, count(*) FROM proposals GROUP BY status")
        found += self._rows("SELECT status, count(*) FROM rewards GROUP BY status")
        counts = dict.fromkeys(("new", "duplicate", "rejected", "trained", "failed"), 0)
        return counts | {str(status): int(str(count)) for status, count in found}

    def best(self, count: int) -> list[FoundRule]:
        """Return the best trained rules: by reward, then by lower loss, then by age."""
        rows = self._rows(
            "SELECT p.id, p.rule, reward, accuracy, loss, learning_rate FROM rewards r JOIN proposals p ON p.id = r.proposal "
            "WHERE r.status = 'trained' ORDER BY reward DESC, loss IS NULL, loss, p.id LIMIT ?",
            count,
        )
        return [FoundRule(position, *row) for position, row in enumerate(rows, 1)]  # type: ignore[arg-type]  # typed by the schema

    def earned(self) -> list[tuple[tuple[int, ...], float]]:
        """Return the string and the reward of every trained rule, in the order of asking."""
        rows = self._rows(
            "SELECT tokens, reward FROM rewards r JOIN proposals p ON p.id = r.proposal WHERE r.status = 'trained' ORDER BY p.id"
        )
        return [(tuple(json.loads(str(tokens))), float(str(reward))) for tokens, reward in rows]

    def failures(self, count: int) -> list[str]:
        """Return the reasons of the first rules that failed."""
        query = "SELECT reason FROM rewards WHERE status = 'failed' ORDER BY proposal LIMIT ?"
        return [str(reason) for (reason,) in self._rows(query, count)]

    def finalists(self) -> list[str]:
        """Return the table of finalists, a JSON text a row; empty before there is one."""
        return [str(row) for (row,) in self._rows("SELECT row FROM finalists ORDER BY position")]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def create_ledger(path: Path, meta: Mapping[str, str] | None = None) -> Ledger:
    """Start a ledger, with what the run is, in one transaction.

    Raises:
        LedgerError: the file exists, or cannot be written.
    """
    if path.exists():
        raise LedgerError(f"{path} exists already; go on with it by --resume, or choose another --run")
    try:
        connection = _connect(f"{path.resolve().as_uri()}?mode=rwc")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", (meta or {}).items())
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be written: {error}. {_cure(error)}") from error
    return Ledger(path, connection)


def open_ledger(path: Path, read_only: bool = True) -> Ledger:
    """Open the ledger of a run.

    Raises:
        LedgerError: no such file, not a ledger, damaged, or written by a newer neuropt.
    """
    if not path.is_file():
        raise LedgerError(f"{path} does not exist; is this the folder of a run?")
    try:
        connection = _connect(f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rw'}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise LedgerError(f"{path} is not a ledger, or is damaged: {error}. {_cure(error)}") from error
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} has schema {version}, but this neuropt reads up to {SCHEMA_VERSION}; use a newer neuropt"
        )
    if version < 1 or not {"meta", "asked", "proposals", "told", "rewards", "children"} <= tables:
        raise LedgerError(f"{path} is an SQLite file, but not the ledger of a run")
    return Ledger(path, connection)


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
    if "mode=ro" not in uri:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    return connection


def _cure(error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return "Free space on this disk and go on with --resume."
    if "readonly" in text or "unable to open" in text:
        return "Check that the folder exists and may be written."
    if "locked" in text:
        return "Another process uses this run; stop it first."
    return "Copy the file away before trying anything with it."


def _reward_values(r: RewardRow) -> tuple[object, ...]:
    return (r.proposal, r.status, r.reward, r.accuracy, r.loss, r.learning_rate, r.reason)


def _child_values(proposal: int, c: Child) -> tuple[object, ...]:
    return (proposal, c.learning_rate, c.seed, c.status, c.steps, c.train_loss, c.loss, c.accuracy)
