"""Steps over lists: what a loop computes, to the last bit, and all that is asked of an optimizer."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from neuropt.compiling.rule_optimizer import RuleOptimizer
from search_space import Rule, load_space, zoo
from tests.compiling.comparison import rules
from tests.compiling.test_rule_optimizer import *  # noqa: F403  # the contract, for this form
from tests.search_space.random_rules import strings

EXTENDED = load_space("extended")


@pytest.fixture(autouse=True)
def lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the contract's tests make optimizers of this form."""
    monkeypatch.setattr("tests.compiling.test_rule_optimizer.RuleOptimizer", partial(RuleOptimizer, foreach=True))


def path(rule: Rule, foreach: bool, dtype: torch.dtype, steps: int = 3) -> list[Tensor]:
    torch.manual_seed(0)
    w = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in [(), (3, 4), (0,), (5,), (2, 3, 2)]]
    optimizer = RuleOptimizer(w, rule, lr=0.01, decay_steps=5, foreach=foreach)
    for t in range(steps):
        for i, x in enumerate(w):
            x.grad = torch.randn(x.shape, dtype=dtype) if (i + t) % 3 else None
        optimizer.step()
    found = [x.detach() for x in w]
    for state in optimizer.state.values():
        found += [x for x in state.values() if isinstance(x, Tensor)]
    return found


def assert_the_same(rule: Rule, dtype: torch.dtype) -> None:
    for got, expected in zip(path(rule, True, dtype), path(rule, False, dtype), strict=True):
        assert torch.equal(got.nan_to_num(nan=7.0), expected.nan_to_num(nan=7.0)), rule.text


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("name", zoo())
def test_rules_of_the_zoo_equal_the_loop(name: str, dtype: torch.dtype) -> None:
    assert_the_same(zoo()[name], dtype)


@settings(max_examples=100, deadline=None)
@given(rules())
def test_random_rules_equal_the_loop(rule: Rule) -> None:
    assert_the_same(rule, torch.float64)


@settings(max_examples=50, deadline=None)
@given(strings(EXTENDED))
def test_random_rules_of_the_wider_space_equal_the_loop(tokens: tuple[int, ...]) -> None:
    assert_the_same(EXTENDED.decode(tokens), torch.float64)
