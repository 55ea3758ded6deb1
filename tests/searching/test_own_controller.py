"""A search with a controller of one's own file: resumed exactly, compared with others, and not run where the file has changed."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt import SearchConfig, compare_controllers, run_search
from neuropt.config import read_config
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_file import LedgerError
from tests.cli.running import run_here
from tests.searching.searches import contents

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_controller.py"
TABLE = "icml2017-digits-mlp"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchConfig:
    """Of a search on a table, which trains nothing."""
    shutil.copy(EXAMPLE, tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    return SearchConfig(
        space="icml2017", groups=1, task=f"table:{TABLE}", controller="mine.py:HillClimbing", rules=60, finalists=0
    )


def test_a_search_that_goes_on_equals_one_that_was_not_interrupted(
    config: SearchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(config, tmp_path / "whole" / "run")
    cut = run_search(replace(config, rules=20), tmp_path / "cut" / "run")
    recorded = read_config(cut / "config.toml")
    assert recorded.controller == f"{tmp_path / 'mine.py'}:HillClimbing"
    (cut / "config.toml").write_text(replace(recorded, rules=60).to_toml(), encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run_search(config, cut, resume=True)
    with closing(open_ledger(cut / "ledger.sqlite")) as one, closing(open_ledger(whole / "ledger.sqlite")) as other:
        assert contents(one) == contents(other)


def test_a_file_that_has_changed_is_not_run_by_a_resumed_search(config: SearchConfig, tmp_path: Path) -> None:
    run = run_search(config, tmp_path / "run")
    ran = tmp_path / "ran"
    with (tmp_path / "mine.py").open("a") as file:
        file.write(f"\nopen({str(ran)!r}, 'w').close()\n")
    with pytest.raises(LedgerError, match=r"controller_sha256 was .*, but .*mine.py now has .*, so it is not run"):
        run_search(config, run, resume=True)
    assert not ran.exists()
    run_search(config, run, resume=True, accept_changes=True)
    assert ran.exists()


def test_it_is_compared_with_the_shipped_ones(config: SearchConfig) -> None:
    names = ("random", "mine.py:HillClimbing")
    found = compare_controllers(TABLE, names, budget=60, seeds=4, workers=1)
    assert tuple(row.controller for row in found.rows) == names
    assert {one.children for one in found.measured} == {60}


@pytest.mark.slow
def test_it_travels_to_the_processes_of_a_comparison(config: SearchConfig) -> None:
    one, two = (compare_controllers(TABLE, [config.controller], budget=30, seeds=4, workers=n) for n in (1, 2))
    assert [m.rule for m in one.measured] == [m.rule for m in two.measured]


def test_a_fault_of_it_is_one_line_with_exit_code_2(
    config: SearchConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(
        text.replace("(0.1", "(one").replace("self.random.randrange(", "len("), encoding="utf-8"
    )
    of_search = ("search", "--space", "icml2017", "--groups", "1", "--task", f"table:{TABLE}", "--run", "run")
    of_comparison = ("compare-controllers", "--table", TABLE, "--seeds", "4", "--workers", "1", "--controllers")
    for typed, said in (
        ((*of_search, "--controller", "mine.py:HillClimbing"), "mine.py, ask, line "),
        ((*of_search, "--controller", "mine.py:None"), "mine.py:None must be a class"),
        ((*of_search, "--controller", "none.py:Mine"), "cannot be read: No such file"),
        ((*of_comparison, "random,mine.py:HillClimbing"), "mine.py, ask, line "),
        ((*of_comparison, "random,mine.py:Other"), "mine.py:Other must be a class"),
    ):
        ended = run_here(capsys, *typed)
        assert ended.code == 2
        assert said in ended.err.splitlines()[-1]  # after the progress of searches that came before
        assert "Traceback" not in ended.err
