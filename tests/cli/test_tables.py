from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import neuropt
from neuropt.tables.table_file import table_names
from tests.cli.running import run_here

NAME = "icml2017-digits-mlp"


def test_the_tables_that_ship_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run_here(capsys, "table", "list", "--json").out)
    assert [row["name"] for row in rows] == table_names()
    lines = run_here(capsys, "table", "list").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == table_names()


def test_a_table_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    table = neuropt.load_table(NAME)
    said = json.loads(run_here(capsys, "table", "show", NAME, "-n", "5", "--json").out)
    assert (said["space"], said["task"]) == ("icml2017, 1 group", "digits-mlp, 150 steps")
    assert said["rules"] == len(table.rules)
    assert said["strings"] == {"all": 154_880, "allowed": 116_160, "say a rule": int((table.rule_of >= 0).sum())}
    assert sum(said["rejected"].values()) == 116_160 - said["strings"]["say a rule"]
    assert said["children"]["in all"] == table.losses.size
    assert said["reward"]["100 %"] == pytest.approx(table.rewards.mean(axis=2).max())
    assert said["sha256"] == table.sha256
    # the best of all: no rule at any learning rate has a lower mean log loss
    assert said["best"][0]["-log loss"] == pytest.approx(table.log_losses.mean(axis=2).max())
    assert [row["position"] for row in said["best"]] == [1, 2, 3, 4, 5]
    found = [row["-log loss"] for row in said["best"]]
    assert found == sorted(found, reverse=True)
    text = run_here(capsys, "table", "show", NAME).out
    assert f"rules:          {len(table.rules):,}" in text
    assert len(text.split("\n\n")[1].splitlines()) == 11, "a header and ten rules"


def test_a_search_on_a_shipped_table_needs_no_ray_and_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    where = ("--space", "icml2017", "--groups", "1", "--task", f"table:{NAME}", "--run", str(run))
    ended = run_here(capsys, "search", *where, "--rules", "60", "--controller", "evolution", "--finalists", "2")
    assert ended.code == 0
    assert "60/60 rules" in ended.out
    assert f"{run}: icml2017, 1 group, evolution, " in ended.out
    best = json.loads(run_here(capsys, "top", str(run), "-n", "1", "--json").out)[0]
    table = neuropt.load_table(NAME)
    rewards = table.judge(seen=(0,)).rewards
    assert best["reward"] == pytest.approx(rewards[table.rules.index(best["rule"])])
    assert run_here(capsys, "show", f"{run}:1").code == 0
    again = run_here(capsys, "search", "--resume", "--run", str(run))
    assert (again.code, "Finalists of" in again.out) == (0, True)


def test_a_table_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.npz"
    ended = run_here(
        capsys,
        "table",
        "build",
        "--space",
        "tiny",
        "--seeds",
        "2",
        "--steps",
        "2",
        "--executor",
        "in-process",
        "-o",
        str(file),
    )
    assert (ended.code, ended.out) == (
        0,
        f"wrote {file}. Next: neuropt table show {file} | neuropt search --space tiny --groups 1 --task table:{file}\n",
    )
    assert "384 strings say 31 distinct rules that pass the screen" in ended.err
    assert np.isfinite(neuropt.load_table(file).losses).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table"], "a command is missing: one of build, show, list; see `neuropt table --help`"),
        (["table", "shwo"], "there are build, show, list"),
        (["table", "show"], "missing: TABLE; see `neuropt table --help`"),
        (
            ["table", "show", "nothing"],
            f"no table 'nothing': there are {', '.join(table_names())}, or give the file of one",
        ),
        (["table", "show", NAME, "-n", "0"], "-n must be a whole number of at least 1, but got 0"),
        (["table", "show", "--jsn", NAME], "unknown argument --jsn; did you mean --json?"),
        (["table", "build"], "missing: -o FILE, --out FILE"),
        (["table", "build", "-o", "x.csv"], "a table is a file that ends in .npz, but got x.csv"),
        (["table", "build", "--sede", "2", "-o", "x.npz"], "unknown argument --sede; did you mean --seeds?"),
        (["table", "build", "--seeds", "1", "-o", "x.npz"], "seeds must be a whole number from 2 to 100"),
        (["search", "--task", "table:nothing"], "no table 'nothing'"),
        (["search", "--task", "table:"], "no table ''"),
        (["search", "--task", f"table:{NAME}"], "not of arxiv2017 with 2 groups; give --space icml2017 --groups 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_here(capsys, *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert message in ended.err
    assert not list(tmp_path.iterdir())
