from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.running import run_here

SMALL = ("--tasks", "digits-mlp", "--seeds", "2", "--tune-seeds", "1", "--steps", "5")


def test_optimizers_are_compared_by_name_rule_and_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("g * abs(g)", encoding="utf-8")
    ended = run_here(capsys, "evaluate", "adam", "nadam", "mhat", "mine.txt", *SMALL, "--out", "table")
    assert ended.code == 0
    for name in ("digits-mlp (vision), 5 steps", "adam", "nadam", "mhat", "mine"):
        assert name in ended.out
    assert ended.err, "progress goes to the error stream"
    with (tmp_path / "table" / "children.csv").open(encoding="utf-8") as file:
        children = list(csv.DictReader(file))
    assert {child["optimizer"] for child in children} == {"adam", "nadam", "mhat", "mine"}
    assert {child["phase"] for child in children} == {"tune", "report", "default"}


def test_json_is_all_that_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_here(capsys, "evaluate", "sgd", "lion", *SMALL, "--json")
    assert {row["optimizer"] for row in json.loads(ended.out)["rows"]} == {"sgd", "lion"}
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(capsys, "evaluate", "sgd", *SMALL, "--out", "table").code == 0
    again = run_here(capsys, "evaluate", "adam", *SMALL, "--out", "table")
    assert again.code == 2
    assert "children.csv exists already" in again.err
