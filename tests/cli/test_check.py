from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.running import run_here

MINE = """
import torch

class Mine(torch.optim.SGD):
    pass

class Ascending(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr, maximize=True)

def halved(params, **hyper):
    return torch.optim.SGD(params, **{"lr": 0.05, **hyper})
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    "target", ["mine:Mine", "mine.py:Mine", "mine:halved", "torch.optim:SGD", "lion", "addsign-ld", "sign(g)"]
)
def test_a_class_a_function_a_name_and_a_rule_are_checked(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "check", target, "--backend", "none")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0].split() == ["check", "status", "detail"]
    assert " 0 failed" in ended.out.splitlines()[-1]


def test_a_failure_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "check", "mine.py:Ascending", "--backend", "none", "--json")
    assert (ended.code, ended.err) == (1, "")
    report = json.loads(ended.out)
    assert (report["optimizer"], report["passed"]) == ("Ascending", False)
    failed = [row["check"] for row in report["checks"] if row["status"] == "failed"]
    assert failed == ["loss_goes_down"]


def test_strict_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "check", "torch.optim:SGD", "--strict", "--backend", "none")
    assert ended.code == 1
    assert "Invalid learning rate" in ended.out


def test_hyperparameters_are_read_as_numbers_flags_and_tuples(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--hyper", "lr=1e-3", "betas=0.8,0.9", "amsgrad=true", "eps=1e-4")
    ended = run_here(capsys, "check", "torch.optim:Adam", "--backend", "none", *given)
    assert ended.code == 0
    (row,) = (line for line in ended.out.splitlines() if line.startswith("float16_zero_gradients"))
    assert "passed" in row, "eps is one that float16 can hold"


WRONG = [
    (["check"], "missing: TARGET"),
    (["check", "mine:Yours"], "mine has no class or function 'Yours'; it has Ascending, Mine"),
    (["check", "mine.py"], "mine.py is a Python file: name its class too, as in mine.py:Mine"),
    (["check", "none.py:Mine"], "none.py cannot be imported: FileNotFoundError: there is no such file"),
    (["check", "no_module_of_that_name:Mine"], "cannot be imported: ModuleNotFoundError"),
    (["check", "bad.py:Mine"], "bad.py cannot be imported: SyntaxError"),
    (["check", "ends.py:Mine"], "ends.py cannot be imported: SystemExit: 3"),
    (["check", "builtins:list"], "must make a torch.optim.Optimizer, but made"),
    (["check", "json:dumps"], "factory(params) must make an optimizer, but raised TypeError"),
    (["check", "loin"], "did you mean lion"),
    (["check", "lion", "--hyper", "lr"], "a hyperparameter is given as NAME=VALUE, such as lr=0.1, but got 'lr'"),
    (["check", "lion", "--hyper", "lr=-1"], "Lion(lr=...) must be a number >= 0"),
    (["check", "lion", "--backend", "magic"], "--backend must be one of"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=lambda value: str(value)[:60])
def test_a_bad_target_is_refused_in_one_line(
    arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bad.py").write_text("class Mine(", encoding="utf-8")
    (here / "ends.py").write_text("raise SystemExit(3)", encoding="utf-8")
    ended = run_here(capsys, *arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("neuropt check: error: ")
    assert said in line
