"""A build trains every rule once on every seed, whatever happens to it meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuropt.searching.run_folder import locked
from neuropt.tables.building import FOLDER, build_table, table_works
from neuropt.tables.config import TableConfig
from neuropt.tables.enumerating import Enumeration
from neuropt.tables.table import Table
from neuropt.tables.table_file import load_table
from neuropt.tasks import get_task, load_task_data
from neuropt.training.work import do_work
from tests.cli.running import ROOT
from tests.tables.conftest import TINY

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def assert_same_numbers(one: Table, other: Table) -> None:
    assert one.rules == other.rules
    np.testing.assert_array_equal(one.losses, other.losses)
    np.testing.assert_array_equal(one.accuracies, other.accuracies)


def test_each_row_is_what_training_the_rule_comes_to(table: Table) -> None:
    """At every learning rate, to the end of the budget, on each seed alone."""
    task = get_task("digits-mlp").with_budget(TINY.steps or 0)
    assert (table.losses.shape, table.steps, table.seeds) == ((31, 7, 3), 20, (0, 1, 2))
    works = table_works(table.rules, table.scales.tolist(), 3)
    assert [work.seeds for work in works] == [(0,), (1,), (2,)]
    assert not any(work.halving for work in works)
    done = do_work(works[1], task, load_task_data(task))
    for rule, trained in enumerate(done.trained):
        children = [row[0] for row in trained.children]
        assert [child.learning_rate for child in children] == pytest.approx(table.learning_rates(rule))
        for rate, child in enumerate(children):
            expected = np.array(
                [child.loss or np.inf, np.nan if child.accuracy is None else child.accuracy], np.float32
            )
            np.testing.assert_array_equal([table.losses[rule, rate, 1], table.accuracies[rule, rate, 1]], expected)


def test_the_seeds_are_trained_one_after_the_other_in_blocks(rules: Enumeration) -> None:
    works = table_works(rules.rules * 4, rules.scales.tolist() * 4, 2)
    assert [(len(work.jobs), work.seeds) for work in works] == [(n, (s,)) for s in (0, 1) for n in (48, 48, 28)]


def test_the_file_says_how_it_was_made(table: Table) -> None:
    data = load_task_data(get_task("digits-mlp"))
    assert table.facts["data_sha256"] == data.sha256
    assert {"created", "torch", "neuropt", "weights_sha256", "screen", "rules_per_work"} <= table.facts.keys()
    assert table.name == "tiny"


def begin(file: Path, seeds: int) -> subprocess.Popen[str]:
    command = ["table", "build", "--space", "tiny", "--seeds", str(seeds), "--steps", "30", "-o", str(file)]
    command = [sys.executable, "-m", "neuropt", *command, "--executor", "in-process"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def trained(file: Path) -> dict[str, str]:
    """Works that a build has finished, and what came of each, its time included."""
    ledger = file.with_name(file.name + FOLDER) / "ledger.sqlite"
    try:
        with closing(sqlite3.connect(f"{ledger.as_uri()}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT work, done FROM works"))
    except sqlite3.OperationalError:  # not there yet
        return {}


@pytest.mark.slow
def test_a_build_that_is_killed_twice_trains_nothing_twice_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    seeds, file = 12, tmp_path / "killed.npz"
    before: dict[str, str] = {}
    for _ in range(2):
        process = begin(file, seeds)
        while len(trained(file)) < len(before) + 2:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = trained(file)
        assert before.items() <= now.items(), "what was trained stays, down to the time that it took"
        assert len(before) < len(now) < seeds
        before = now
    last = begin(file, seeds)
    said = last.communicate(timeout=120)[1]
    assert last.returncode == 0, said
    assert f"; {len(before)} works were trained before" in said
    assert [path.name for path in tmp_path.iterdir()] == ["killed.npz"], "and nothing is left beside it"
    config = replace(TINY, seeds=seeds, steps=30)
    assert_same_numbers(load_table(file), load_table(build_table(config, tmp_path / "whole.npz")))


def test_a_build_may_go_on_with_more_seeds(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("neuropt.tables.building.write_table", refuse)
        with pytest.raises(OSError, match="No space left"):
            build_table(replace(TINY, seeds=2), tmp_path / "t.npz")
    said: list[str] = []
    build_table(TINY, tmp_path / "t.npz", said.append)
    assert "31 rules on 3 seeds; 2 works were trained before" in said
    assert_same_numbers(load_table(tmp_path / "t.npz"), table)


def test_a_file_that_exists_is_not_replaced(path: Path) -> None:
    with pytest.raises(ValueError, match=r"tiny\.npz exists already; choose another file"):
        build_table(TINY, path)


def test_another_build_in_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("neuropt.tables.building.enumerate_rules", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_table(TINY, tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"t\.npz\.build holds another build: its steps was 20, but here it is 30"):
        build_table(replace(TINY, steps=30), tmp_path / "t.npz")
    with pytest.raises(ValueError, match=r"holds another build: its space_sha256 was"):
        build_table(replace(TINY, space="icml2017"), tmp_path / "t.npz")


def test_a_build_under_way_is_not_joined(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "t.npz.build"),
        pytest.raises(ValueError, match=r"t\.npz\.build is in use by another process; .* choose another file"),
    ):
        build_table(TINY, tmp_path / "t.npz")


def test_what_stands_in_the_folder_besides_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "t.npz.build"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    build_table(replace(TINY, seeds=2, steps=1), tmp_path / "t.npz")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1}, "seeds must be a whole number from 2 to 100"),
        ({"seeds": 2.0}, "seeds must be a whole number from 2 to 100"),
        ({"seeds": True}, "seeds must be a whole number"),
        ({"workers": 0}, "workers must be a whole number of at least 1"),
        ({"address": "h:1"}, "address needs executor tune"),
        ({"steps": 0}, "steps must be a whole number of at least 1"),
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("config", "name", "message"),
    [
        (TINY, "t.parquet", r"a table is a file that ends in \.npz"),
        (replace(TINY, task="nothing"), "t.npz", "unknown task 'nothing'"),
        (replace(TINY, groups=2, space="icml2017"), "t.npz", "27,079,993,600 strings; a table is of at most"),
    ],
)
def test_what_cannot_be_built_leaves_nothing(config: TableConfig, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        build_table(config, tmp_path / name)
    assert not list(tmp_path.iterdir())
