from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
import torch

from neuropt import create_optimizer, zoo
from neuropt.commands.listings import Schedules
from neuropt.optimizers import named_optimizers, named_schedules
from tests.cli.running import ROOT, run_here


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("spaces", {"arxiv2017", "extended", "icml2017", "tiny"}),
        ("controllers", {"bello2017", "ppo", "random", "reinforce"}),
        ("tasks", {"digits-mlp", "mnist-mlp", "mnist-lenet", "cifar10-convnet"}),
        ("schedules", {"constant", "cosine", "noam", "snapshot", "growing-batch"}),
        ("optimizers", {"adam", "powersign", "lion", "nadam", "bello-16", "adamwr", "rmsprop-eps-inside"}),
    ],
)
def test_listings_name_what_there_is(command: str, names: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run_here(capsys, command, "--json").out)
    assert names <= {row["name"] for row in rows}
    lines = run_here(capsys, command).out.splitlines()
    assert len(lines) == len(rows) + 1, "a line each, and a header"
    assert [line.split()[0] for line in lines[1:]] == [row["name"] for row in rows]
    assert all(line == line.rstrip() for line in lines)


def test_spaces_are_listed_with_their_counts(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row.pop("name"): row for row in json.loads(run_here(capsys, "spaces", "--json").out)}
    description = rows["tiny"].pop("description")
    assert rows["tiny"] == {"groups": 1, "operands": 4, "unary": 4, "binary": 3, "strings": 384}
    assert "tests" in description
    assert rows["extended"]["strings"] > 100 * rows["arxiv2017"]["strings"]


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


def test_optimizers_are_listed_with_all_that_is_said_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in json.loads(run_here(capsys, "optimizers", "--json").out)}
    assert set(rows) == {*named_optimizers(), *zoo()}
    for name, row in rows.items():
        assert row["formula"]
        assert row["source"]
        assert row["kind"] in ("torch", "class", "rule")
        assert row["pointwise"] == (name in named_optimizers() or zoo()[name].pointwise) - (name == "adagraft")
    assert rows["lion"]["defaults"] == {"lr": 1e-4, "betas": [0.9, 0.99], "weight_decay": 0.0, "maximize": False}
    assert rows["signum"]["defaults"] == {"lr": 1e-3, "momentum": 0.9, "maximize": False}
    assert rows["signum"]["formula"] == "buf = ema(g, momentum); u = sign(buf)"
    assert (rows["adamwr"]["needs"], rows["adamwr"]["defaults"]["T_0"]) == (["T_0"], None)


def test_the_listed_defaults_of_rules_are_those_of_their_groups(capsys: pytest.CaptureFixture[str]) -> None:
    for row in json.loads(run_here(capsys, "optimizers", "--json").out):
        if row["kind"] == "rule":
            group = create_optimizer(row["name"], create_parameters()).param_groups[0]
            assert {key: group[key] for key in row["defaults"]} == row["defaults"]


def create_parameters() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


def test_named_optimizers_are_described_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "optimizers", "adamwr", "signum")
    assert [line for line in ended.out.splitlines() if line.startswith("name:")] == [
        "name:       adamwr",
        "name:       signum",
    ]
    assert "    T_0 = ... (must be given)" in ended.out
    assert "    momentum = 0.9" in ended.out
    rows = json.loads(run_here(capsys, "optimizers", "lion", "--json").out)
    assert [row["name"] for row in rows] == ["lion"]
    wrong = run_here(capsys, "optimizers", "adamwx")
    assert (wrong.code, wrong.out) == (2, "")
    assert "no optimizer is called 'adamwx'; did you mean adamw" in wrong.err


def test_a_terminal_gets_paragraphs_that_fit() -> None:
    columns = 80
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command, env = [sys.executable, "-m", "neuropt", "optimizers"], {"TERM": "xterm"}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=end, stdout=end) as child:
        os.close(end)
        printed = b"".join(iter(lambda: read(terminal), b""))
    os.close(terminal)
    assert child.returncode == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed.decode()).splitlines()
    assert max(len(line) for line in lines) in range(columns - 20, columns + 1)
    assert [line for line in lines if not line.startswith(" ")] == sorted({*named_optimizers(), *zoo()})


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""
