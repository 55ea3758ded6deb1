"""What else is trained on workers of Ray comes to what it comes to in this process: evaluations, tables, tasks of one's own.

These tests are here, so that all that starts Ray is in one folder, whose tests never run beside themselves (Makefile).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuropt.evaluating.evaluate import evaluate
from neuropt.searching.run_folder import best_rules
from neuropt.searching.search import run_search
from neuropt.searching.tune_executor import TuneExecutor
from neuropt.tables.building import build_table
from neuropt.tables.table_file import load_table
from tests.evaluating.test_evaluate import without_clock
from tests.tables.conftest import TINY
from tests.tables.test_building import assert_same_numbers
from tests.tasks.test_own_tasks import FILE, small_search

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray's own warnings are not ours to fix


def test_an_evaluation(executor: TuneExecutor, tmp_path: Path) -> None:
    names, known = ["adam", "adabound", "graft(sgd, adam)"], ["digits-mlp", "digits-conv"]
    small: dict[str, Any] = {"seeds": 2, "tune_seeds": 1, "steps": 8, "trials": 6, "evaluations": 2}
    here = evaluate(names, known, out=tmp_path / "here", **small)
    there = evaluate(names, known, out=tmp_path / "there", executor="tune", workers=2, **small)
    assert without_clock(here.summary) == without_clock(there.summary)
    again = evaluate(out=tmp_path / "there", resume=True, executor="in-process")
    assert without_clock(again.summary) == without_clock(there.summary)


def test_a_table(executor: TuneExecutor, tmp_path: Path) -> None:
    here = build_table(TINY, tmp_path / "here.npz")
    there = build_table(replace(TINY, executor="tune", workers=2), tmp_path / "there.npz")
    assert_same_numbers(load_table(there), load_table(here))


def test_a_task_of_ones_own(executor: TuneExecutor, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "task.py"
    file.parent.mkdir()
    file.write_text(FILE, encoding="utf-8")
    here = run_search(small_search(file), tmp_path / "here")
    there = run_search(small_search(file, executor="tune", workers=1, rules_per_trial=1), tmp_path / "there")
    assert [rule.loss for rule in best_rules(there, 9)] == [rule.loss for rule in best_rules(here, 9)]
