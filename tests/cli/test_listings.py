from __future__ import annotations

import io
import json

import pytest

from neuropt.commands.listings import Schedules
from neuropt.optimizers import named_schedules
from tests.cli.running import run_here


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("spaces", {"arxiv2017", "icml2017", "tiny"}),
        ("controllers", {"bello2017", "ppo", "random", "reinforce"}),
        ("tasks", {"digits-mlp", "mnist-mlp", "mnist-lenet", "cifar10-convnet"}),
        ("schedules", {"constant", "cosine", "noam", "snapshot", "growing-batch"}),
        ("optimizers", {"adam", "powersign", "lion", "nadam", "bello-16"}),
    ],
)
def test_listings_name_what_there_is(command: str, names: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run_here(capsys, command, "--json").out)
    assert names <= {row["name"] for row in rows}
    lines = run_here(capsys, command).out.splitlines()
    assert len(lines) == len(rows) + 1, "a line each, and a header"
    assert [line.split()[0] for line in lines[1:]] == [row["name"] for row in rows]
    assert all(line == line.rstrip() for line in lines)


def test_what_is_called_a_rule_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for row in json.loads(run_here(capsys, "optimizers", "--json").out):
        assert (run_here(capsys, "show", row["name"]).code == 0) == row["rule"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_names_stay_in_one_piece_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, no bold header
    monkeypatch.setattr("sys.stdout", terminal)
    Schedules()()
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {"name", *named_schedules()}
