"""A search that is killed, whatever it is doing, equals one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt.config import SearchConfig
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.search import run_search
from tests.cli.running import ROOT
from tests.searching.drivers import Driver, Drivers, begin_drivers
from tests.searching.killing import CONFIG, ORDERLY
from tests.searching.searches import contents

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def everything(run: Path) -> dict[str, list[tuple[object, ...]]]:
    """The ledger of a run, its finalists included, without times and machines."""
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        found = contents(ledger)
        found["trials"] = ledger.connection.execute(
            "SELECT trial FROM asked JOIN told USING (trial) ORDER BY trial"
        ).fetchall()
        found["finalists"] = [(row,) for row in ledger.finalists()]
        works = {work: json.loads(done) for work, done in ledger.works().items()}
        found["works"] = sorted((work, json.dumps(done["trained"])) for work, done in works.items())
        return found


def assert_nothing_lost_or_repeated(run: Path, expected: Path, rules: int) -> None:
    found = everything(run)
    assert found == everything(expected)
    keys = [row[4] for row in found["proposals"] if row[5] == "new"]
    assert len(set(keys)) == len(keys) == len(found["rewards"]) == rules, "each rule once"
    assert found["finalists"], "it came to its end"


def test_a_search_killed_at_many_moments_of_its_ledgers_work_equals_one_that_was_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.searching.killing", str(tmp_path / "killed" / "run"), "0"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    ends = [tuple(end) for end in json.loads(done.stdout)]
    assert ends[-1][1] == 0
    assert set(ends[:-1]) == {("statement", -signal.SIGKILL), ("inside", -signal.SIGKILL), ("torn", -signal.SIGXFSZ)}
    assert len(ends) > ORDERLY + 20
    assert_nothing_lost_or_repeated(
        tmp_path / "killed" / "run", run_search(CONFIG, tmp_path / "whole" / "run"), CONFIG.rules
    )


BIG = replace(CONFIG, rules=700, rules_per_trial=5, steps=30, finalists=3, executor="tune")
MARK = "NEUROPT_TEST_KILLED"
"""A variable that drivers and all that they start have in their environment."""


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    with begin_drivers(ENVIRONMENT | {MARK: str(tmp_path)}) as drivers:
        yield drivers


def begin(drivers: Drivers, run: Path, config: SearchConfig = BIG) -> Driver:
    """Begin a search in a process of its own, or go on with it, on the executor of the configuration."""
    if (run / "config.toml").exists():
        flags = ["--resume", "--executor", config.executor]
    else:
        usual = SearchConfig()
        changed = {k: v for k, v in vars(config).items() if v != getattr(usual, k)}
        flags = [part for k, v in changed.items() for part in flag(k, v)]
    return drivers.begin(["search", "--run", str(run), *flags], run.parent.parent / "errors")


def flag(name: str, value: object) -> list[str]:
    text = "--" + name.replace("_", "-")
    return [text] if value is True else [text, str(value)]


def count(run: Path, *tables: str) -> int:
    """How many rows a ledger has. It is asked often, beside the search, so rows are not read."""
    try:
        with closing(open_ledger(run / "ledger.sqlite")) as ledger:
            return sum(ledger.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)
    except LedgerError:
        return 0


PROGRESS = ("told", "works")


def wait_for(condition: Callable[[], bool], search: Driver, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and search.ended(0.02) is None:
        assert time.monotonic() < deadline, "the search does not get on"


def descendants(mark: str) -> list[str]:
    """The command lines of all processes with this mark, whoever their parent is by now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.slow
def test_a_driver_killed_at_twenty_random_moments_loses_and_repeats_nothing(drivers: Drivers, tmp_path: Path) -> None:
    chance = random.Random(0)
    run = tmp_path / "killed" / "run"
    run.parent.mkdir()
    got_on = most = 0
    for life in range(20):
        before = count(run, *PROGRESS)
        on_ray = life % 5 == 1  # the first, two that get on, and one that is killed while Ray starts
        search = begin(drivers, run, replace(BIG, executor="tune" if on_ray else "in-process"))
        if life % 4:  # three of four times after it has got on, else whatever it is at: starting, as a rule
            wait_for(lambda before=before: count(run, *PROGRESS) > before, search)  # type: ignore[misc]
            most = max(most, len(descendants(str(tmp_path))))
        search.ended(chance.uniform(0, 0.3 if life % 4 else 8.0 if on_ray else 2.0))
        search.send(signal.SIGKILL)
        assert search.ended(None) == -signal.SIGKILL, search.said()
        got_on += count(run, *PROGRESS) > before
    assert got_on >= 15
    assert most >= 8, "the one that forks, a driver, two of Ray, two workers and their guards have the mark"
    deadline = time.monotonic() + 60
    while len(left := descendants(str(tmp_path))) > 1:  # the one that forks drivers stays
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    last = begin(drivers, run, replace(BIG, executor="in-process"))
    assert last.ended(None) == 0
    assert last.said() == ""
    whole = run_search(replace(BIG, executor="in-process"), tmp_path / "whole" / "run")
    assert_nothing_lost_or_repeated(run, whole, BIG.rules)


@pytest.mark.slow
def test_ctrl_c_is_heard_while_finalists_are_trained_and_their_results_are_kept(
    drivers: Drivers, tmp_path: Path
) -> None:
    run = tmp_path / "ended" / "run"
    run.parent.mkdir()
    small = replace(BIG, rules=20, finalists=1, finalist_seeds=60)
    search = begin(drivers, run, small)
    wait_for(lambda: count(run, "works") > 0, search)
    search.send(signal.SIGINT)
    assert search.ended(60) == 130, search.said()
    assert search.said().strip().endswith(f"interrupted; go on with: neuropt search --resume --run {run}")
    kept = works(run)
    resumed = begin(drivers, run, replace(small, executor="in-process"))
    assert resumed.ended(None) == 0
    assert resumed.said() == ""
    assert works(run).items() >= kept.items(), "what was finished stays as it was, times included"


def works(run: Path) -> dict[str, str]:
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        return ledger.works()
