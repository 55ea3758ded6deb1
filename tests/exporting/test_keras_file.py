"""Exported Keras files, in a process of their own for each backend."""

from __future__ import annotations

import ast

import pytest

from neuropt.exporting import export_rule
from search_space import parse_rule, zoo
from tests.exporting.apart import assert_claims


def test_claims() -> None:
    assert_claims("keras_claims.py", "not slow", KERAS_BACKEND="torch")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_all_claims_on_every_backend(backend: str) -> None:
    assert_claims("keras_claims.py", "slow or not slow", KERAS_BACKEND=backend, JAX_ENABLE_X64="1")


@pytest.mark.parametrize("text", ["drop(g, 0.1)", "noise(0.1) + g"])
def test_a_rule_with_random_numbers_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match="the keras target cannot express this rule: it draws random numbers"):
        export_rule(parse_rule(text), "keras")


@pytest.mark.parametrize("name", [name for name, rule in zoo().items() if rule.deterministic])
def test_it_imports_keras_only(name: str) -> None:
    tree = ast.parse(export_rule(zoo()[name], "keras"))
    imported = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert imported == ["import keras", "from keras import ops"]


def test_it_reads_like_the_paper() -> None:
    lines = export_rule(zoo()["adamw"], "keras").split("\n")
    for line in (
        "            learning_rate=learning_rate, weight_decay=weight_decay, name=name, **kwargs",
        "        m = beta1 * m_prev + (1 - beta1) * g",
        "        u = mhat / (ops.sqrt(vhat) + eps)",
    ):
        assert line in lines
