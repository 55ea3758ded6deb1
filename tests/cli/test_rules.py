from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import neuropt
from tests.cli.running import run_here


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(capsys, "--version").out == f"neuropt {neuropt.__version__}\n"


def test_show_explains_a_rule(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_here(capsys, "show", "powersign").out
    assert "hyperparameters: base = 2.718, beta = 0.9\n" in shown
    assert "remembers:       m\n" in shown
    assert "kind:            pointwise\n" in shown
    assert "    m = beta * prev(m) + (1 - beta) * g\n" in shown
    assert r"m_{t} &= \beta m_{t-1}" in shown


def test_show_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run_here(capsys, "show", "adam + 0 * norm(g)", "--json").out)
    assert found["kind"] == "reducing"
    assert found["remembers"] == ["m", "v"]
    assert found["needs_steps"] is False
    assert found["name"] is None


@pytest.mark.parametrize(
    ("text", "same_as", "opposite_of"),
    [
        ("3 * g", ["sgd"], []),
        ("-2 * g", [], ["sgd"]),
        ("exp(sign(g) * sign(m)) * g", ["powersign", "bello-04"], []),
        ("g * exp(g)", [], []),
    ],
)
def test_show_names_the_known_optimizer_that_a_rule_is(
    text: str, same_as: list[str], opposite_of: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run_here(capsys, "show", "--json", "--", text).out)
    assert (found["same_as"], found["opposite_of"]) == (same_as, opposite_of)


def test_a_file_named_like_no_rule_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("beta = 0.5\nu = ema(g, beta)\n", encoding="utf-8")
    Path("g").write_text("w", encoding="utf-8")
    assert json.loads(run_here(capsys, "show", "mine.txt", "--json").out)["hyperparameters"] == {"beta": 0.5}
    assert json.loads(run_here(capsys, "show", "g", "--json").out)["text"] == "g", "a rule comes before a file"
    assert json.loads(run_here(capsys, "show", "./g", "--json").out)["text"] == "w"


def test_an_export_to_json_is_a_rule_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(capsys, "export", "lion", "--to", "json", "-o", "lion.json").out == "wrote lion.json\n"
    shown = json.loads(run_here(capsys, "show", "lion.json", "--json").out)
    assert shown["text"] == neuropt.zoo()["lion"].text
    assert shown["name"] == "lion"
    assert run_here(capsys, "export", "adam", "--to", "json", "-o", "lion.json").code == 2
    assert run_here(capsys, "export", "adam", "--to", "json", "-o", "lion.json", "--overwrite").code == 0
    assert json.loads(run_here(capsys, "show", "lion.json", "--json").out)["name"] == "adam"


def test_export_prints_to_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    assert r"\operatorname{sign}" in run_here(capsys, "export", "signsgd", "--to", "latex", "-o", "-").out


def test_an_exported_optimizer_passes_its_test_with_only_torch(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(capsys, "export", "powersign", "--to", "torch", "-o", "found.py").code == 0
    blocked = "import sys; sys.modules.update(dict.fromkeys(['neuropt', 'search_space', 'controllers', 'ray'])); "
    code = f"{blocked}import runpy; runpy.run_path('found.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_export_writes_a_folder_for_the_hub(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(capsys, "export", "powersign", "--to", "hub", "-o", "hub").out == "wrote hub\n"
    assert "A known update rule (`Bello et al. 2017`)" in Path("hub/README.md").read_text()
    assert json.loads(run_here(capsys, "show", "hub/powersign_optimizer.py", "--json").out)["same_as"][0] == "powersign"
    assert run_here(capsys, "export", "powersign", "--to", "hub", "-o", "hub").code == 2
    refused = run_here(capsys, "export", "powersign", "--to", "hub", "-o", "-")
    assert (refused.code, "--to hub writes a folder" in refused.err) == (2, True)


def test_a_rule_that_a_target_cannot_express_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    refused = run_here(capsys, "export", "bello-05", "--to", "keras", "-o", "-")
    assert refused.code == 2
    assert "the keras target cannot express this rule: it draws random numbers" in refused.err
