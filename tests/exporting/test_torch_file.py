"""Exported torch files: run where nothing of ours can be imported, against what they claim."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from controllers import create_controller
from neuropt.exporting import Provenance, export_rule
from neuropt.exporting.layout import class_name
from search_space import load_space, parse_rule, zoo
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem
from tests.exporting.reference import planned, rate, reference

EXTENDED = load_space("extended")

LONE = """
import importlib.abc, runpy, sys
import torch

class OnlyTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("neuropt", "search_space", "controllers", "ray"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, OnlyTorch())
torch.set_num_threads(1)
failed = 0
for file in sys.argv[1:]:
    try:
        runpy.run_path(file, run_name="__main__")
    except (Exception, SystemExit) as error:
        print(f"{file}: {type(error).__name__}: {error}")
        failed += 1
raise SystemExit(failed)
"""

RULES = {
    "every draw": "noise(norm(g)) + drop(0.5, 0.2) + noise(g) * drop(m, 0.1)",
    "reductions": "a = norm(g); c = 0.9 * prev(c, 2) + 0.1 * a; u = g / c + mean(w) * dot(g, w) + prev(c, 2)",
    "remembered numbers": "b = 0.9 * prev(b, 1); w2 = w; u = g * (1 - b) + prev(w2)",
    "remembered inputs": "d = g; e = prev(d); u = g - prev(d) + prev(e)",
    "decays": "g * ld + w * cd(2) * 1e-3 + m * rd(3, 2)",
    "names that Python needs": "lambda = 0.9; class = 2 * 3; sum = lambda * prev(sum) + g; step = prev(step) + class; u = sum / step",
    "names that the file needs": "seed = 3; p = seed * g; torch = p; state = torch; u_prev = prev(u); number = u_prev; u = state + number",
    "comparisons": "where(g < w, 1, -2.5) * (g >= 0) + (t == 3) + where(2, g, 1) + where(t > 2, 1, 0) + (g != w) * (g <= 1) * (w > g)",
    "bounds": "min(g, 0.1) + max(0.2, g) + min(t, T) + clamp(g, -1, w) + clip(g, abs(w)) + clip(g, -1) + clamp(g, -1, 1) + mod(g, 0.3)",
    "functions": "log_abs(g) + sqrt(g) + log(g) + exp(g) + tanh(cos(g)) + sign(g) * pow_abs(g, g) + abs(g) ^ 1.5",
    "signs": "-g ^ 2 - (-g) ^ 2 - -(2) * g - (-2) * g - (g - (w - g)) / (g / (w + 3))",
    "numbers without a value": "1 / t * g + exp(100 * t) * 0 + 2 ^ t * g + 1 / 0 + (0 / 0) * (t > 5)",
    "numbers too large": "1e300 * g / 1e300 + min(g, 1e39) + 1e30 * 1e30 * g * 1e-60",
    "constant": "0.1",
    "its own update": "u = 0.5 * prev(u) + g",
    "sums": "cumsum(g) + cummax(abs(g)) + debiased(g, 0.9) + cumsum(g, 0.9) + cummax(g, 0.5) + delay(g) + delay(delay(3))",
    "without need": "x = 3 * prev(x); u = g",
    "long": " + ".join(f"{i} * exp(-abs(g) * {i})" for i in range(1, 12)),
}
HOSTILE = [
    '"""\nimport os\nos.abort()\n"""',
    "'''\nraise SystemExit(3)\n'''",
    '\\"""; raise SystemExit(3) #',
    "\\",
    '"',
    "\x00\x1b[2J\r\n\u202e\u2028\ud800",
    "${name} {name} %s $helpers",
    "x" * 100_000,
]


def run_alone(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-W", "ignore", "-c", LONE, *map(str, files)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, capture_output=True, text=True, cwd=files[0].parent, env=environment, check=False)


def write(folder: Path, sources: dict[str, str]) -> list[Path]:
    files = [folder / f"export_{number}.py" for number in range(len(sources))]
    for file, source in zip(files, sources.values(), strict=True):
        file.write_text(source)
    return files


def test_every_rule_passes_its_own_test(tmp_path: Path) -> None:
    sources = {name: export_rule(rule, "torch", Provenance(name=name)) for name, rule in zoo().items()}
    sources |= {name: export_rule(parse_rule(text), "torch", Provenance(lr=0.1)) for name, text in RULES.items()}
    proposals = create_controller("random", EXTENDED, 0).ask(60)
    sources |= {f"extended {p.id}": export_rule(EXTENDED.decode(p.tokens), "torch") for p in proposals}
    result = run_alone(*write(tmp_path, sources))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("self-test passed: 10 recorded steps reproduced") == len(sources)


def test_a_wrong_file_fails_its_own_test(tmp_path: Path) -> None:
    source = export_rule(parse_rule("m"), "torch")
    broken = source.replace("0.9 * m_prev", "0.8 * m_prev")
    assert broken != source
    result = run_alone(*write(tmp_path, {"broken": broken}))
    assert result.returncode == 1
    assert "self-test failed at step 2" in result.stdout


@pytest.mark.parametrize("text", [*RULES.values(), "adam"])
def test_it_imports_torch_only(text: str) -> None:
    tree = ast.parse(export_rule(parse_rule(text), "torch"))
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(node) for node in imported} == {"import torch", "from torch.optim import Optimizer"}


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", zoo())
def test_the_zoo_equals_the_interpreter(name: str, problem: Problem) -> None:
    rule, namespace = zoo()[name], dict[str, Any](__name__="exported")
    exec(export_rule(rule, "torch"), namespace)
    lr = rate(rule, problem)
    w, path = torch.tensor(problem.start, requires_grad=True), []
    optimizer = namespace["FoundRule"]([w], lr, **planned(rule))
    expected = reference(rule, problem, lr)
    for step in range(len(expected)):
        w.grad = torch.tensor(problem.gradient(w.detach().numpy(), step))
        optimizer.step()
        path.append(w.detach().numpy().copy())
    assert_same(np.reshape(path, expected.shape), expected)


def test_it_reads_like_the_rule() -> None:
    text = "beta = 0.9\nbase = 2.5\nm = beta * prev(m) + (1 - beta) * g\nu = base ** (sign(g) * sign(m)) * g"
    source = export_rule(parse_rule(text), "torch", Provenance(name="powersign", lr=0.1))
    for line in (
        "class Powersign(Optimizer):",
        "        base=2.5,",
        "        weight_decay=0.0,",
        "        m = beta * m_prev + (1 - beta) * g",
        "        u = base ** (sign(g) * sign(m)) * g",
        "            real.sub_(lr * u)",
    ):
        assert line in source.split("\n")


def test_what_a_rule_does_not_use_is_not_there() -> None:
    plain = export_rule(parse_rule("g"), "torch")
    assert not any(word in plain for word in ("uniform", "def norm", "def sign", "decay_steps=", "seed", "index"))
    assert "def uniform" in export_rule(parse_rule("drop(g, 0.1)"), "torch")


def test_the_docstring_tells_rule_and_origin() -> None:
    provenance = Provenance(
        name="n", run="digits:1", seed=3, task="digits-mlp", date="2026-01-02", versions={"torch": "2.13"}, reward=0.5
    )
    docstring = ast.get_docstring(ast.parse(export_rule(parse_rule("g * sign(m)"), "torch", provenance)))
    assert docstring is not None
    for fact in ("u = g * sign(m)", "digits:1", "digits-mlp", "2026-01-02", "torch 2.13", "0.5", "seed:     3"):
        assert fact in docstring


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_from_outside_becomes_code(text: str) -> None:
    provenance = Provenance(name=text, run=text, task=text, date=text, versions={text: text}, summary=text)
    source = export_rule(parse_rule("m"), "torch", provenance)
    plain = export_rule(parse_rule("m"), "torch", Provenance(name=text))
    trees = [ast.parse(code) for code in (source, plain)]
    for tree in trees:
        assert isinstance(tree.body[0], ast.Expr)
        del tree.body[0]  # the docstring, the one place where they may differ
    assert ast.dump(trees[0]) == ast.dump(trees[1])
    assert source.isascii()
    assert len(source) < 50_000


@pytest.mark.parametrize("text", HOSTILE[:6], ids=range(6))
def test_the_docstring_gives_hostile_text_back(text: str) -> None:
    tree = ast.parse(export_rule(parse_rule("m"), "torch", Provenance(run=text)))
    docstring = ast.get_docstring(tree, clean=False)
    assert docstring is not None
    assert f"run:      {text}" in docstring


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("powersign-ld", "PowersignLd"),
        ("bello-01", "Bello01"),
        ("digits:1", "Digits1"),
        ("1st", "FoundRule"),
        ("optimizer", "FoundRule"),
        ("none", "FoundRule"),
        ("valueError", "FoundRule"),
        ("", "FoundRule"),
        (None, "FoundRule"),
        ("__import__('os')", "ImportOs"),
    ],
)
def test_class_names(name: str | None, expected: str) -> None:
    assert class_name(name) == expected
