"""What RuleOptimizer refuses, and in what words."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from neuropt.compiling.rule_optimizer import RuleOptimizer
from search_space import RuleError

POWERSIGN = "beta = 0.9; base = 2.718281828459045; m = ema(g, beta); u = base ** (sign(g) * sign(m)) * g"


def parameter(*shape: int) -> Tensor:
    return torch.ones(shape, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gamma": 1.0}, TypeError, "the rule has no hyperparameter 'gamma' \\(got 1.0\\); it has: beta, base"),
        ({"momentum": 0.9}, TypeError, "no hyperparameter 'momentum'"),
        ({"beta": float("nan")}, ValueError, r"RuleOptimizer\(beta=\.\.\.\)"),
        ({"base": float("inf")}, ValueError, r"RuleOptimizer\(base=\.\.\.\)"),
        ({"beta": "high"}, TypeError, r"RuleOptimizer\(beta=\.\.\.\)"),
        ({"lr": -0.1}, ValueError, r"RuleOptimizer\(lr=\.\.\.\)"),
        ({"lr": float("nan")}, ValueError, r"RuleOptimizer\(lr=\.\.\.\)"),
        ({"lr": torch.ones(2)}, ValueError, r"RuleOptimizer\(lr=\.\.\.\)"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"decay_steps": 0}, ValueError, "decay_steps"),
        ({"maximize": 1}, TypeError, "maximize"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RuleOptimizer([parameter(2)], POWERSIGN, **arguments)
    optimizer = RuleOptimizer([parameter(2)], POWERSIGN)
    with pytest.raises(error, match=message):
        optimizer.add_param_group({"params": [parameter(2)], **arguments})
    assert len(optimizer.param_groups) == 1


def test_a_rule_that_reads_T_needs_decay_steps() -> None:
    with pytest.raises(ValueError, match=r"RuleOptimizer\(decay_steps=\.\.\.\)"):
        RuleOptimizer([parameter(2)], "ld * g")
    groups: list[dict[str, Any]] = [{"params": [parameter(2)], "decay_steps": 5}, {"params": [parameter(2)]}]
    with pytest.raises(ValueError, match="decay_steps"):
        RuleOptimizer(groups, "ld * g")
    RuleOptimizer(groups, "ld * g", decay_steps=3)


@pytest.mark.parametrize("name", ["params", "rule", "seed", "decay_steps", "maximize", "initial_lr", "fused"])
def test_a_hyperparameter_with_the_name_of_a_group_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}', which parameter groups hold; rename it"):
        RuleOptimizer([parameter(2)], f"{name} = 0.5; u = {name} * g")


def test_other_bad_calls() -> None:
    with pytest.raises(ValueError, match="empty"):
        RuleOptimizer([], "g")
    with pytest.raises(RuleError, match=r"\^"):
        RuleOptimizer([parameter(2)], "g +")
    with pytest.raises(ValueError, match="all groups have one rule"):
        RuleOptimizer([{"params": [parameter(2)], "rule": "m"}], "g")
