"""A search that is killed, whatever it is doing, equals one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from neuropt.config import SearchConfig
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.search import run_search
from tests.cli.running import ROOT
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


BIG = replace(CONFIG, rules=600, rules_per_trial=5, steps=30, finalists=3, executor="tune", workers=2)


def begin(run: Path, config: SearchConfig = BIG) -> subprocess.Popen[str]:
    """Begin a search on Ray in a process of its own, or go on with it."""
    if (run / "config.toml").exists():
        flags = ["--resume"]
    else:
        usual = SearchConfig()
        changed = {k: v for k, v in vars(config).items() if v != getattr(usual, k)}
        flags = [part for k, v in changed.items() for part in flag(k, v)]
    command = [sys.executable, "-m", "neuropt", "search", "--run", str(run), *flags]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def flag(name: str, value: object) -> list[str]:
    text = "--" + name.replace("_", "-")
    return [text] if value is True else [text, str(value)]


def results(run: Path) -> int:
    """How much there is in the ledger."""
    try:
        with closing(open_ledger(run / "ledger.sqlite")) as ledger:
            return len(ledger.history()) + len(ledger.works())
    except LedgerError:
        return 0


def gets_on(run: Path, before: int) -> bool:
    return results(run) > before


def wait_for(condition: Callable[[], bool], search: subprocess.Popen[str], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and search.poll() is None:
        assert time.monotonic() < deadline, "the search does not get on"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_driver_killed_at_twenty_random_moments_loses_and_repeats_nothing(tmp_path: Path) -> None:
    chance = random.Random(0)
    run = tmp_path / "killed" / "run"
    for life in range(20):
        before = results(run)
        search = begin(run)
        if life % 4:  # three of four times after it has got on, else whatever it is at: starting, as a rule
            wait_for(partial(gets_on, run, before), search)
        time.sleep(chance.uniform(0, 0.5 if life % 4 else 8.0))
        search.kill()
        said = search.communicate()[1]
        assert search.returncode == -signal.SIGKILL, said
    last = begin(run)
    assert last.communicate()[1] == ""
    assert last.returncode == 0
    assert_nothing_lost_or_repeated(run, run_search(replace(BIG, workers=1), tmp_path / "whole" / "run"), BIG.rules)


@pytest.mark.slow
def test_ctrl_c_is_heard_while_finalists_are_trained_and_their_results_are_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    search = begin(run, replace(BIG, rules=40, finalists=1, finalist_seeds=60))
    wait_for(lambda: (run / "ledger.sqlite").exists() and bool(works(run)), search)
    search.send_signal(signal.SIGINT)
    _, said = search.communicate(timeout=60)
    assert search.returncode == 130, said
    assert said.strip().endswith(f"interrupted; go on with: neuropt search --resume --run {run}")
    kept = works(run)
    resumed = begin(run)
    assert resumed.communicate()[1] == ""
    assert resumed.returncode == 0
    assert works(run).items() >= kept.items(), "what was finished stays as it was, times included"


def works(run: Path) -> dict[str, str]:
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        return ledger.works()
