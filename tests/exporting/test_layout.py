"""Every Python file that a rule is exported to is as `ruff format` and `ruff check` want it where there are no settings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from controllers import create_controller
from neuropt.exporting import Provenance, export_hub, export_rule, layout, write_export
from neuropt.exporting.layout import formatted
from search_space import Rule, load_space, parse_rule, zoo
from tests.exporting.reference import PYTHON
from tests.exporting.test_torch_file import RULES

SPACES = [("tiny", None), *((name, groups) for name in ("icml2017", "arxiv2017", "extended") for groups in (1, 2, 3))]
FOUND = Provenance(
    name="digits:1",
    run="digits:1",
    seed=3,
    task="digits-mlp, wine-logistic, breast-cancer-mlp, digits-convnet, signals-mlp, rosenbrock",
    date="2026-11-21",
    versions={"neuropt": "0.1.0", "torch": "2.13.0", "Python": "3.11.9"},
    summary="finalist: validation accuracy 0.9500, test accuracy 0.9400, medians of n = 10 fresh seeds",
)


def proposed(per_space: int) -> Iterator[Rule]:
    for name, groups in SPACES:
        space = load_space(name, groups=groups)
        yield from (space.decode(p.tokens) for p in create_controller("random", space, 0).ask(per_space))


def check(folder: Path, *command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--isolated", str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ruff_leaves_every_python_file_as_it_is_and_finds_nothing(tmp_path: Path) -> None:
    known = [(rule, target, Provenance(name=name)) for (name, rule), target in zip(zoo().items(), cycle(PYTHON))]
    odd = [(parse_rule(text), target, Provenance()) for text in RULES.values() for target in PYTHON]
    found = [(rule, target, FOUND) for rule in proposed(2) for target in PYTHON]
    written = 0
    for number, (rule, target, provenance) in enumerate([*known, *odd, *found]):
        if (target == "keras" and not rule.deterministic) or (target == "optax" and rule.reads("lr")):
            continue
        (tmp_path / f"{target}_{number}.py").write_text(export_rule(rule, target, provenance))
        written += 1
    write_export(export_hub(zoo()["adagraft-sgd-adam"], Provenance(name="adagraft-sgd-adam")), tmp_path / "hub")
    assert written > 150
    check(tmp_path, "format", "--diff")
    check(tmp_path, "check", "--extend-select=E501,I,B,UP")


def test_a_missing_ruff_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError("nowhere")

    monkeypatch.setattr(layout, "find_ruff_bin", missing)
    with pytest.raises(FileNotFoundError, match="formatted by ruff, whose program is missing: pip install ruff"):
        formatted("u = g")
