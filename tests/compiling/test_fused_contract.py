"""All that is asked of an optimizer, of compiled steps."""

from __future__ import annotations

from functools import partial

import pytest

from neuropt.compiling.rule_optimizer import RuleOptimizer
from tests.compiling.compilers import needs_compiler
from tests.compiling.test_rule_optimizer import *  # noqa: F403  # the contract, for this form

pytestmark = [needs_compiler, pytest.mark.slow]


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the contract's tests make optimizers of this form."""
    monkeypatch.setattr("tests.compiling.test_rule_optimizer.RuleOptimizer", partial(RuleOptimizer, fused=True))
