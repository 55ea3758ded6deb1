"""An evaluation that is interrupted goes on, and its ledger is trusted only where it may be."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from neuropt.searching.ledger_file import LedgerError
from tests.cli.running import ROOT
from tests.evaluating.folders import children, works
from tests.evaluating.killing import begun


@pytest.mark.slow
def test_an_evaluation_killed_at_many_moments_equals_one_that_was_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.evaluating.killing", str(tmp_path / "killed")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    assert len(ends) > 2
    assert ends[-1] == 0
    begun(tmp_path / "whole")
    assert children(tmp_path / "killed") == children(tmp_path / "whole")
    assert works(tmp_path / "killed") == works(tmp_path / "whole"), "nothing was lost or done under another name"
    curves = [(tmp_path / name / "curves.csv").read_bytes() for name in ("killed", "whole")]
    assert curves[0] == curves[1]


def test_nothing_that_is_finished_is_trained_again(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        # the report: if a work were done again, the children of the table would not be these
        query = 'UPDATE evaluation_works SET done = replace(done, \'"status": "trained"\', \'"status": "diverged"\')'
        connection.execute(query + " WHERE work LIKE '%\"test\": true%'")
    (folder / "summary.json").unlink()
    again = evaluate(out=folder, resume=True)
    assert {row.diverged for row in again.rows} == {3}
    assert json.loads((folder / "summary.json").read_text())["rows"][0]["diverged"] == 3


def test_a_ledger_whose_facts_are_others_is_refused_unless_that_is_accepted(
    whole: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        connection.execute('UPDATE environments SET facts = replace(facts, \'"threads": "1"\', \'"threads": "7"\')')
    with pytest.raises(LedgerError, match="threads was 7, but here it is 1"):
        evaluate(out=folder, resume=True)
    assert evaluate(out=folder, resume=True, accept_changes=True).rows == whole[1].rows
    assert evaluate(out=folder, resume=True).rows == whole[1].rows, "it is recorded once"


ANEW = "cannot be read; nothing was changed. .* or start an evaluation anew with another --out."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE evaluation_works SET done = '{}' WHERE rowid = 2",
            f"row 2 of table evaluation_works, of digits-mlp, {ANEW}",
        ),
        (
            "UPDATE evaluation_works SET done = 'much' WHERE rowid = 1",
            f"row 1 of table evaluation_works, of digits-mlp, {ANEW}",
        ),
        ("UPDATE costs SET cost = 'much' WHERE optimizer = 'adam'", f"the cost of adam on digits-mlp {ANEW}"),
        ("UPDATE environments SET facts = '['", f"the environment {ANEW}"),
        ("UPDATE meta SET value = '{' WHERE key = 'forms'", rf"the forms of its tasks \(table meta\) {ANEW}"),
        ("DROP TABLE costs", "is an SQLite file, but not the ledger of an evaluation"),
        ("PRAGMA user_version = 9", "has schema 9, but this neuropt reads up to 1; use a newer neuropt"),
    ],
)
def test_a_damaged_ledger_is_one_clear_line(
    whole: tuple[Path, Evaluation], tmp_path: Path, change: str, said: str
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        connection.execute(change)
    with pytest.raises(LedgerError, match=said):
        evaluate(out=folder, resume=True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"out": None}, "resume needs the folder of the evaluation: --out DIR"),
        ({"optimizers": ["sgd"]}, "leave out optimizers"),
        ({"seeds": 4, "profile": "quick"}, "leave out seeds, profile"),
        ({"out": "nowhere"}, "holds no evaluation to resume"),
    ],
)
def test_what_a_resumed_evaluation_would_not_follow_is_refused(
    whole: tuple[Path, Evaluation], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate(**(dict[str, Any](out=whole[0], resume=True) | given))
