from __future__ import annotations

import json

import pytest

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
