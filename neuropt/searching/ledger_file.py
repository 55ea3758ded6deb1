"""The file of a ledger: made whole or not at all, opened only if it is sound, brought from earlier schemas to this one.

A new file gets schema 1 and then every later step, the same steps that an old file gets, so there is one definition of each table.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from neuropt.writing import give_name, new_name

FACTS = (
    "neuropt",
    "torch",
    "python",
    "machine",
    "threads",
    "device",
    "data_sha256",
    "weights_sha256",
    "task_sha256",
    "controller_sha256",
)
"""What numbers depend on besides the configuration: the names in `environments.facts`."""

_SCHEMA_1 = """
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

_SCHEMA_2 = """
CREATE TABLE environments (
    number INTEGER PRIMARY KEY, event INTEGER NOT NULL, facts TEXT NOT NULL, first_proposal INTEGER, first_update INTEGER);
ALTER TABLE told ADD COLUMN environment INTEGER REFERENCES environments;
ALTER TABLE works ADD COLUMN environment INTEGER REFERENCES environments;
"""

_SCHEMA_3 = """
ALTER TABLE rewards ADD COLUMN fidelity REAL NOT NULL DEFAULT 1.0;
ALTER TABLE rewards ADD COLUMN control INTEGER NOT NULL DEFAULT 0;
CREATE TABLE rungs (
    proposal INTEGER NOT NULL REFERENCES proposals, fidelity REAL NOT NULL, reward REAL NOT NULL,
    PRIMARY KEY (proposal, fidelity)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of ledger.

    Args:
        what: is recorded, in words.
        steps: from an empty file to the present schema, whose number is that of the steps.
        tables: by which such a file is known.
        option: of the command line that names its folder.
    """

    what: str
    steps: tuple[Callable[[sqlite3.Connection], None], ...]
    tables: frozenset[str]
    option: str

    @property
    def save_rows(self) -> str:
        """What to do with a file that is damaged."""
        return f"Keep a copy of it; `sqlite3 FILE .recover` may save its rows, or start {self.what} anew with another {self.option}."


class LedgerError(ValueError):
    """A ledger that cannot be read or written: names the file and the way out."""


@contextmanager
def speaking(path: Path, kind: Kind | None = None) -> Iterator[None]:
    """Turn what SQLite says into one line that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}; nothing was changed. {cure(error, kind or RUN)}") from error


def damaged(path: Path, what: str, kind: Kind | None = None) -> LedgerError:
    """Return the error of a row that cannot be what was written."""
    return LedgerError(f"{path} is damaged: {what} cannot be read; nothing was changed. {(kind or RUN).save_rows}")


# -- making ------------------------------------------------------------------------------------------------------------------------


def create_file(
    path: Path, meta: Mapping[str, str], facts: Mapping[str, str], kind: Kind | None = None
) -> sqlite3.Connection:
    """Make the file of a ledger under another name, and give it its own once it is whole.

    Raises:
        LedgerError: the file exists, or cannot be written.
    """
    kind = kind or RUN
    if path.exists():
        raise LedgerError(f"{path} exists already; go on with it by --resume, or choose another {kind.option}")
    new = new_name(path)
    try:
        for left in (new, *(new.with_name(new.name + end) for end in ("-wal", "-shm"))):
            left.unlink(missing_ok=True)  # of a process that was killed here
        with closing(_connect(new, "rwc")) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for step in kind.steps:
                step(connection)
            connection.execute(f"PRAGMA user_version = {len(kind.steps)}")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            _write_environment(connection, facts)
        give_name(new, path)
        return _connect(path, "rw")
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be written: {error}. {cure(error, kind)}") from error
    except OSError as error:
        raise LedgerError(f"{path} cannot be written: {error.strerror or error}. {_WRITABLE}") from error


def _write_environment(connection: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    query = "INSERT INTO environments (number, event, facts) VALUES (1, 0, ?)"
    connection.execute(query, (json.dumps(dict(facts)),))


def _to_1(connection: sqlite3.Connection) -> None:
    execute(connection, _SCHEMA_1)


def _to_2(connection: sqlite3.Connection) -> None:
    """Every result says in which environment it was computed; what schema 1 knew of it was in `meta`."""
    execute(connection, _SCHEMA_2)
    facts = {key: value for key, value in connection.execute("SELECT key, value FROM meta") if key in FACTS}
    if facts:
        _write_environment(connection, facts)
        connection.execute("UPDATE told SET environment = 1")
        connection.execute("UPDATE works SET environment = 1")


def _to_3(connection: sqlite3.Connection) -> None:
    """Every reward says for which share of the budget its rule was trained; before, that was all of it."""
    execute(connection, _SCHEMA_3)


_STEPS = (_to_1, _to_2, _to_3)

SCHEMA_VERSION = len(_STEPS)

RUN = Kind("a run", _STEPS, frozenset({"meta", "asked", "proposals", "told", "rewards", "children"}), "--run")


def execute(connection: sqlite3.Connection, statements: str) -> None:
    """Run statements in the present transaction; `executescript` would commit first."""
    for statement in statements.split(";\n"):
        connection.execute(statement)


# -- opening -----------------------------------------------------------------------------------------------------------------------


def open_file(path: Path, read_only: bool, kind: Kind | None = None) -> sqlite3.Connection:
    """Open the file of a ledger, and bring it to this schema if it is to be written.

    Raises:
        LedgerError: no such file, not a ledger, damaged, or written by a newer neuropt.
    """
    kind = kind or RUN
    if not path.is_file():
        raise LedgerError(f"{path} does not exist; is this the folder of {kind.what}?")
    try:
        connection = _connect_reading(path) if read_only else _connect(path, "rw")
    except sqlite3.Error as error:
        raise _not_a_ledger(path, error, kind) from error
    try:
        version = _version(path, connection, kind)
        if not read_only:
            _check_sound(path, connection, kind)
            _migrate(path, connection, version, kind)
    except LedgerError:
        connection.close()
        raise
    return connection


def _not_a_ledger(path: Path, error: sqlite3.Error, kind: Kind) -> LedgerError:
    return LedgerError(f"{path} is not a ledger, or is damaged: {error}. {cure(error, kind)}")


def _version(path: Path, connection: sqlite3.Connection, kind: Kind) -> int:
    """Return the schema of a ledger, if it is one."""
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise _not_a_ledger(path, error, kind) from error
    if version < 1 or not kind.tables <= tables:
        raise LedgerError(f"{path} is an SQLite file, but not the ledger of {kind.what}")
    if version > len(kind.steps):
        raise LedgerError(
            f"{path} has schema {version}, but this neuropt reads up to {len(kind.steps)}; use a newer neuropt"
        )
    return version


def _check_sound(path: Path, connection: sqlite3.Connection, kind: Kind) -> None:
    """Refuse to write into a file whose pages do not hang together."""
    with speaking(path, kind):
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise LedgerError(f"{path} is damaged: {' '.join(str(found).split())}; nothing was changed. {kind.save_rows}")


def _migrate(path: Path, connection: sqlite3.Connection, version: int, kind: Kind) -> None:
    if version == len(kind.steps):
        return
    with speaking(path, kind), connection:
        connection.execute("BEGIN IMMEDIATE")
        for step in kind.steps[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {len(kind.steps)}")


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=10.0)
    try:
        if not mode.startswith("ro"):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect_reading(path: Path) -> sqlite3.Connection:
    """Open for reading, also on a medium where SQLite cannot make the small file that readers and a writer share."""
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
        return connection
    except sqlite3.Error as error:
        connection.close()
        log = path.with_name(path.name + "-wal")
        if (
            not isinstance(error, sqlite3.OperationalError)
            or os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
            or (log.exists() and log.stat().st_size)
        ):
            raise
        return _connect(path, "ro&immutable=1")  # nobody can be writing here


# -- the way out -------------------------------------------------------------------------------------------------------------------

_WRITABLE = "Check that the folder exists and may be written."


def cure(error: sqlite3.Error, kind: Kind) -> str:
    """Return what to do about what SQLite says."""
    text = str(error)
    if "full" in text:
        return "Free space on this disk and go on with --resume."
    if "I/O" in text:
        return "Check the disk (errors, free space, quota, limits of file size) and go on with --resume."
    if "readonly" in text or "unable to open" in text:
        return _WRITABLE
    if "locked" in text:
        return "Another process uses this folder; stop it first."
    return kind.save_rows
