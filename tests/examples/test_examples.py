"""The scripts in examples/ run, and what they train learns."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neuropt import export_rule, write_export, zoo

EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDS = {
    # the library, and how to get it: lightning comes with the dev extra, transformers needs 172 MB and comes with `make test-all`
    "lightning_module": ("lightning", "pip install -c constraints.txt lightning"),
    "hugging_face_trainer": ("transformers", "pip install -c constraints.txt -e '.[hugging-face]'"),
}
HERE = ("plain_loop", "lr_scheduler", "gradient_accumulation", "mixed_precision", "create")
APART = ("compiled", "distributed", *NEEDS)
OF_TUTORIALS = ("own_controller", "own_model_task")
"""Run by `tests/project/test_tutorials.py`, step by step as their pages say."""


def run_script(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    with torch.random.fork_rng():
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out


def run_script_apart(name: str, *arguments: str) -> str:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    path = os.pathsep.join([str(EXAMPLES.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def assert_learns(printed: str, runs: int = 1) -> None:
    losses = [(float(a), float(b)) for a, b in re.findall(r"loss (\d+\.\d+) -> (\d+\.\d+)", printed)]
    assert len(losses) == runs, printed
    assert all(last < first / 4 for first, last in losses), printed


def test_every_example_has_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*HERE, *APART, *OF_TUTORIALS}


def test_a_plain_loop_takes_names_text_and_exported_files(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = write_export(export_rule(zoo()["powersign"], "torch"), tmp_path / "found.py")
    printed = [
        run_script("plain_loop", capsys, monkeypatch, rule)
        for rule in ("powersign", str(found), "g * exp(sign(g) * sign(m))")
    ]
    for text in printed:
        assert_learns(text)
    assert len(set(printed)) == 1


def test_a_scheduler_of_torch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    printed = run_script("lr_scheduler", capsys, monkeypatch)
    assert_learns(printed)
    assert "last learning rate 0.0000" in printed


def test_accumulated_gradients_step_as_whole_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run_script("gradient_accumulation", capsys, monkeypatch)
    assert_learns(printed)
    in_parts, whole = map(float, re.findall(r"(\d+\.\d+) in", printed))
    assert in_parts == pytest.approx(whole, rel=0.05)


def test_half_precision(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert_learns(run_script("mixed_precision", capsys, monkeypatch), runs=2)


def test_groups_keep_their_weight_decay(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_script("create", capsys, monkeypatch).splitlines() == [
        f"{name}: weight decay [0.05, 0.0]" for name in ("lion", "adamw", "sgdw")
    ]


@pytest.mark.slow
def test_a_compiled_step() -> None:
    assert_learns(run_script_apart("compiled", "aot_eager"))


@pytest.mark.slow
def test_two_processes_keep_the_same_weights() -> None:
    printed = run_script_apart("distributed")
    assert_learns(printed, runs=2)
    assert printed.count("same weights: True") == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_trainers_of_other_libraries(name: str) -> None:
    library, install = NEEDS[name]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed; to test examples/{name}.py: {install}")
    assert_learns(run_script_apart(name))
