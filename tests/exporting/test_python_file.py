"""Exported numpy files against the interpreter, and alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuropt.exporting import Provenance, export_rule
from search_space import Equation, Rule, parse_rule, zoo
from search_space.expression import Call, Symbol
from search_space.primitives import PRIMITIVES
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem
from tests.exporting.reference import ALL, DECAY_STEPS, PYTHON, STEPS, planned, rate, reference
from tests.exporting.test_torch_file import HOSTILE, RULES, run_alone, write


def load(text: str, provenance: Provenance | None = None) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(parse_rule(text), "python", provenance), namespace)
    return namespace


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", ALL)
def test_equals_the_interpreter(name: str, problem: Problem) -> None:
    rule = zoo()[name]
    lr = rate(rule, problem)
    exported, path = load(rule.text), []
    w, state = problem.start, exported["init"](problem.start)
    for step in range(STEPS):
        w, state = exported["step"](w, problem.gradient(w, step), state, lr, **planned(rule))
        path.append(w)
    expected = reference(rule, problem, lr)
    assert_same(np.stack(path)[: len(expected)], expected)


@pytest.mark.slow
def test_the_zoo_is_compared_over_nearly_all_steps() -> None:
    steps = [len(reference(rule, problem, rate(rule, problem))) for rule in ALL.values() for problem in PROBLEMS]
    assert np.mean(steps) > 0.95 * STEPS


def test_every_rule_passes_its_own_test_where_nothing_of_ours_is(tmp_path: Path) -> None:
    sources = {name: export_rule(rule, "python", Provenance(name=name)) for name, rule in zoo().items()}
    sources |= {name: export_rule(parse_rule(text), "python", Provenance(lr=0.1)) for name, text in RULES.items()}
    result = run_alone(*write(tmp_path, sources))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("self-test passed: 10 recorded steps reproduced") == len(sources)


def test_a_wrong_file_fails_its_own_test(tmp_path: Path) -> None:
    source = export_rule(parse_rule("m"), "python")
    broken = source.replace("0.9 * m_prev", "0.8 * m_prev")
    assert broken != source
    result = run_alone(*write(tmp_path, {"broken": broken}))
    assert "self-test failed at step 2" in result.stdout


def test_it_reads_like_the_paper() -> None:
    source = export_rule(zoo()["adam"], "python", Provenance(lr=0.1))
    for line in (
        "def step(w, g, state, lr=0.1, *, beta1=0.9, beta2=0.999, eps=1e-08):",
        "        m = beta1 * m_prev + (1 - beta1) * g",
        "        vhat = v / (1 - beta2 ** (t + 1))",
        "        u = mhat / (np.sqrt(vhat) + eps)",
    ):
        assert line in source.split("\n")


@pytest.mark.parametrize("text", RULES.values(), ids=list(RULES))
def test_it_imports_numpy_only(text: str) -> None:
    tree = ast.parse(export_rule(parse_rule(text), "python"))
    assert [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)] == [
        "import numpy as np"
    ]


@pytest.mark.parametrize("function", PRIMITIVES)
def test_every_primitive_has_a_spelling(function: str) -> None:
    expression = Call(function, (Symbol("g"), Symbol("w"), Symbol("g"))[: PRIMITIVES[function].arity])
    rule = Rule((), (Equation("u", expression),))
    for target in PYTHON:
        if target == "keras" and not rule.deterministic:
            continue
        assert ast.parse(export_rule(rule, target))


def test_nothing_is_changed_in_place() -> None:
    exported = load("d = g; e = prev(d); u = e + w * prev(e)")
    w, g = np.ones(2), np.ones(2)
    state = exported["init"](w)
    _, first = exported["step"](w, g, state)
    g[:] = 5.0
    _, second = exported["step"](w, g, first)
    assert state["t"] == 0
    assert (first["d"].tolist(), second["e"].tolist(), w.tolist()) == ([1.0, 1.0], [1.0, 1.0], [1.0, 1.0])


def test_division_by_zero_is_infinity_and_no_exception() -> None:
    exported = load("a = 0; b = 1 / a; u = b * g")
    w, _ = exported["step"](np.ones(1), np.ones(1), exported["init"](np.ones(1)), 0.1)
    assert w.tolist() == [-np.inf]
    assert "decay_steps" in export_rule(parse_rule("g * ld"), "python")
    with pytest.raises(TypeError, match="decay_steps"):
        load("g * ld")["step"](np.ones(1), np.ones(1), {"t": DECAY_STEPS})


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("target", PYTHON)
def test_nothing_from_outside_becomes_code(text: str, target: str) -> None:
    hostile = Provenance(name="n", source=text, run=text, task=text, date=text, versions={text: text}, summary=text)
    trees = [ast.parse(export_rule(parse_rule("m"), target, p)) for p in (hostile, Provenance(name="n"))]
    for tree in trees:
        assert isinstance(tree.body[0], ast.Expr)
        del tree.body[0]  # the docstring, the one place where they may differ
    assert ast.dump(trees[0]) == ast.dump(trees[1])
    assert ast.parse(export_rule(parse_rule("m"), target, Provenance(name=text)))
