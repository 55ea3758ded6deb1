"""Exported optax files, in a process of their own."""

from __future__ import annotations

import ast

import pytest

from neuropt.exporting import export_rule
from search_space import parse_rule, zoo
from tests.exporting.apart import assert_claims


def test_claims() -> None:
    assert_claims("optax_claims.py", "not slow")


@pytest.mark.slow
def test_claims_about_the_whole_zoo() -> None:
    assert_claims("optax_claims.py", "slow")


@pytest.mark.parametrize("name", zoo())
def test_it_imports_jax_and_optax_only(name: str) -> None:
    tree = ast.parse(export_rule(zoo()[name], "optax"))
    imported = [ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert imported == ["from typing import NamedTuple", "import jax", "import jax.numpy as jnp", "import optax"]


def test_a_rule_that_reads_lr_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="the optax target cannot express this rule: it reads lr"):
        export_rule(parse_rule("g * lr"), "optax")


def test_it_reads_like_the_paper() -> None:
    lines = export_rule(zoo()["lion"], "optax").split("\n")
    for line in (
        "def scale_by_found_rule(*, beta1=0.9, beta2=0.99):",
        "            m = beta2 * m_prev + (1 - beta2) * g",
        "            u = jnp.sign(beta1 * m_prev + (1 - beta1) * g)",
        "    learning_rate=0.001, *, beta1=0.9, beta2=0.99, weight_decay=0.0, mask=None",
    ):
        assert line in lines
