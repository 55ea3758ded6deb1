"""The ledger of an evaluation: every finished piece of work, in one SQLite file; the only truth after a crash.

It is the design of a search's ledger without a controller: works and what came of them, each written in one transaction before anything
builds on it, with the environment that it was done in. Rows are added, never changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from neuropt.searching.ledger_file import Kind, LedgerError, create_file, damaged, execute, open_file, speaking

LEDGER = "ledger.sqlite"

_SCHEMA_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE environments (number INTEGER PRIMARY KEY, event INTEGER NOT NULL, facts TEXT NOT NULL);
CREATE TABLE evaluation_works (
    task TEXT NOT NULL, work TEXT NOT NULL, done TEXT NOT NULL, environment INTEGER NOT NULL REFERENCES environments,
    PRIMARY KEY (task, work));
CREATE TABLE costs (task TEXT NOT NULL, optimizer TEXT NOT NULL, cost TEXT NOT NULL, PRIMARY KEY (task, optimizer));
"""


def _to_1(connection: sqlite3.Connection) -> None:
    execute(connection, _SCHEMA_1)


KIND = Kind("an evaluation", (_to_1,), frozenset({"meta", "environments", "evaluation_works", "costs"}), "--out")


class EvaluationLedger:
    """An open ledger.

    Args:
        path: of the file.
        connection: to it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.environment = int(str(self._rows("SELECT max(number) FROM environments")[0][0]))

    @classmethod
    def create(cls, path: Path, meta: Mapping[str, str], facts: Mapping[str, str]) -> EvaluationLedger:
        """Start a ledger.

        Raises:
            LedgerError: the file exists, or cannot be written.
        """
        return cls(path, create_file(path, meta, facts, KIND))

    @classmethod
    def open(cls, path: Path) -> EvaluationLedger:
        """Open one, to go on.

        Raises:
            LedgerError: no such file, another kind of file, or a damaged one.
        """
        return cls(path, open_file(path, read_only=False, kind=KIND))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.connection.close()

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with speaking(self.path, KIND):
            return self.connection.execute(query, values).fetchall()

    def _write(self, query: str, *values: object) -> None:
        with speaking(self.path, KIND), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute(query, values)

    def meta(self) -> dict[str, str]:
        """Return what the evaluation is."""
        return {str(key): str(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def facts(self) -> dict[str, str]:
        """Return what numbers depend on besides the configuration, as it was last."""
        (row,) = self._rows("SELECT facts FROM environments ORDER BY number DESC LIMIT 1")
        return {str(key): str(value) for key, value in self._json(row[0], "the environment").items()}

    def forms(self) -> dict[str, Any]:
        """Return the form in which the children of each task that is no MLP are trained."""
        return self._json(self.meta().get("forms"), "the forms of its tasks (table meta)")

    def write_environment(self, facts: Mapping[str, str]) -> None:
        """Record that the evaluation goes on in another environment; results from now on name it."""
        self._write("INSERT INTO environments VALUES (?, 0, ?)", self.environment + 1, json.dumps(dict(facts)))
        self.environment += 1

    def works(self, task: str) -> dict[str, str]:
        """Return the works of a task that are done, both as JSON."""
        rows = self._rows("SELECT work, done FROM evaluation_works WHERE task = ?", task)
        return {str(work): str(done) for work, done in rows}

    def write_work(self, task: str, work: str, done: str) -> None:
        """Record a piece of work and what came of it."""
        self._write("INSERT INTO evaluation_works VALUES (?, ?, ?, ?)", task, work, done, self.environment)

    def damaged_work(self, task: str, work: str) -> LedgerError:
        """Return the error of a work whose result cannot be read."""
        ((row,),) = self._rows("SELECT rowid FROM evaluation_works WHERE task = ? AND work = ?", task, work)
        return damaged(self.path, f"row {row} of table evaluation_works, of {task},", KIND)

    def costs(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return what a step of each (task, optimizer) was measured to cost."""
        rows = self._rows("SELECT task, optimizer, cost FROM costs")
        return {(str(t), str(o)): self._json(cost, f"the cost of {o} on {t}") for t, o, cost in rows}

    def write_cost(self, task: str, optimizer: str, cost: Mapping[str, float]) -> None:
        """Record what a step costs."""
        self._write("INSERT INTO costs VALUES (?, ?, ?)", task, optimizer, json.dumps(dict(cost)))

    def _json(self, text: object, what: str) -> dict[str, Any]:
        try:
            found = json.loads(str(text))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise damaged(self.path, what, KIND)
        return found


class TaskWorks:
    """The works of one task in a ledger, as `RecordedExecutor` reads and writes them."""

    def __init__(self, ledger: EvaluationLedger, task: str) -> None:
        self.ledger, self.task = ledger, task

    def works(self) -> dict[str, str]:
        """Return the works that are done."""
        return self.ledger.works(self.task)

    def write_work(self, work: str, done: str) -> None:
        """Record one."""
        self.ledger.write_work(self.task, work, done)

    def damaged_work(self, work: str) -> LedgerError:
        """Return the error of one whose result cannot be read."""
        return self.ledger.damaged_work(self.task, work)
