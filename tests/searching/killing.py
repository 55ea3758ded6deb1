"""A search in processes that are killed for real, at a chosen moment of the ledger's work.

`python -m tests.searching.killing FOLDER SEED` begins a search in the folder and goes on with it, life after life, until one reaches
the end; it prints how each ended. The lives are forks of one process, so that each costs no start of Python. Three ways to die:

statement    SIGKILL before the n-th SQL statement, be it BEGIN, INSERT, COMMIT or a reading
inside       SIGKILL within a statement, after so many steps of SQLite's virtual machine
torn         the system kills the process (SIGXFSZ) inside a write(2), when a file has grown by so many bytes: a part is written
"""

import importlib
import json
import os
import random
import resource
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

from neuropt.config import SearchConfig
from neuropt.searching.search import run_search

CONFIG = SearchConfig(
    space="icml2017",
    rules=20,
    rules_per_trial=4,
    steps=12,
    finalists=1,
    finalist_seeds=2,
    executor="in-process",
    deterministic=True,
    lag=2,
)
WAYS = {"statement": 90, "inside": 60, "torn": 60_000}
"""The latest point of each way, in its own units: a life goes well beyond what it finds in the ledger, or not."""

ORDERLY = 25
"""So many lives end at the first, second, ... statement, among which the ledger is made."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def prepare_statement(point: int) -> None:
    left = [point]

    def traced(_: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            kill()

    connect_with(lambda connection: connection.set_trace_callback(traced))


def prepare_inside(point: int) -> None:
    left = [point]

    def counted() -> int:
        left[0] -= 1
        if left[0] < 0:
            kill()
        return 0

    connect_with(lambda connection: connection.set_progress_handler(counted, 50))


def prepare_torn(point: int, folder: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    log = folder / "ledger.sqlite-wal"
    limit = (log.stat().st_size if log.exists() else 0) + point
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def connect_with(prepare: Any) -> None:
    """Watch every connection to SQLite that is made from now on."""
    connect = sqlite3.connect

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        prepare(connection)
        return connection

    sqlite3.connect = watched  # type: ignore[assignment]  # to break a real search on purpose


def live(folder: Path, way: str, point: int) -> None:
    """Search until it is done or this process is killed."""
    match way:
        case "statement":
            prepare_statement(point)
        case "inside":
            prepare_inside(point)
        case "torn":
            prepare_torn(point, folder)
    run_search(CONFIG, folder, resume=(folder / "config.toml").exists())


def main(folder: Path, seed: int) -> None:
    importlib.import_module(
        "torch._dynamo"
    )  # torch does so in its first optimizer's first step; here once for all lives
    chance = random.Random(seed)
    ends: list[tuple[str, int]] = []
    while not ends or ends[-1][1] < 0:  # a life that ends by itself is the last one
        way = chance.choice(list(WAYS)) if len(ends) >= ORDERLY else "statement"
        point = chance.randrange(WAYS[way]) if len(ends) >= ORDERLY else len(ends)
        pid = os.fork()
        if pid == 0:
            live(folder, way, point)
            os._exit(0)
        ends.append((way, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
