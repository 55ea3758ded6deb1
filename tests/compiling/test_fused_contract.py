"""All that is asked of an optimizer, of compiled steps."""

from __future__ import annotations

from functools import partial

import pytest
from torch import Tensor

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.testing import check_optimizer
from search_space import zoo
from tests.compiling.compilers import needs_compiler
from tests.compiling.test_rule_optimizer import *  # noqa: F403  # the contract, for this form

pytestmark = [needs_compiler, pytest.mark.slow]


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the contract's tests make optimizers of this form."""
    monkeypatch.setattr("tests.compiling.test_rule_optimizer.RuleOptimizer", partial(RuleOptimizer, fused=True))


@pytest.mark.parametrize("name", ["adam", "powersign", "adagraft-sgd-adam"])
def test_the_conformance_suite(name: str) -> None:
    def factory(
        params: list[Tensor], lr: float | Tensor = 1e-3, *, maximize: bool = False, foreach: bool | None = None
    ) -> RuleOptimizer:
        return RuleOptimizer(params, zoo()[name], lr, maximize=maximize, foreach=foreach, fused=not foreach)

    check_optimizer(factory, strict=True, backend="eager")
