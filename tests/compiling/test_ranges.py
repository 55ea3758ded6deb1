from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from neuropt import RuleOptimizer, export_rule, find_rule
from neuropt.compiling.ranges import RANGES
from neuropt.exporting import Provenance
from neuropt.optimizers import SGDW, Yogi

OWN = "beta1 = 0.9; eps = 1e-8; base = 2; u = base * ema(g, beta1) / (sqrt(v) + eps)"


def weights() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


def makers(name_or_text: str) -> list[Any]:
    """A rule and its exported class, as functions of parameters and hyperparameters."""
    rule = find_rule(name_or_text).rule
    namespace: dict[str, Any] = {}
    exec(export_rule(rule, "torch", Provenance()), namespace)
    return [lambda params, **hyper: RuleOptimizer(params, rule, **hyper), namespace["FoundRule"]]


BAD = [
    # of which rule, a hyperparameter, and a value out of its range
    ("adam", "beta1", 1.0),
    ("adam", "eps", -1e-8),
    ("adam", "eps", math.nan),
    ("powersign", "base", 0.0),
    ("adabound", "gamma", 1.0),
    (OWN, "beta1", -0.1),
    (OWN, "eps", -1e-8),
    (OWN, "base", math.inf),
]


@pytest.mark.parametrize(("rule", "name", "value"), BAD)
def test_a_value_outside_its_range_is_refused(rule: str, name: str, value: float) -> None:
    for make in makers(rule):
        with pytest.raises(ValueError, match=rf"{name}.* must be .*, but got {value}"):
            make(weights(), **{name: value})
        with pytest.raises(ValueError, match=name):
            make([{"params": weights(), name: value}])


def test_a_rule_of_one_s_own_may_sum_with_a_beta_of_1() -> None:
    for make in makers(OWN):
        assert make(weights(), beta1=1.0).param_groups[0]["beta1"] == 1.0


def test_a_rule_whose_own_value_is_outside_means_something_else_by_the_name() -> None:
    for make in makers("beta1 = -1.5; eps = -1; u = beta1 * g + eps"):
        group = make(weights(), beta1=-3.0, eps=-2.0).param_groups[0]
        assert (group["beta1"], group["eps"]) == (-3.0, -2.0)
        with pytest.raises(ValueError, match="beta1"):
            make(weights(), beta1=math.nan)


@pytest.mark.parametrize(("cls", "name"), [(Yogi, "lr"), (Yogi, "eps"), (Yogi, "weight_decay"), (SGDW, "momentum")])
def test_the_ranges_are_those_of_the_hand_coded_classes(cls: Any, name: str) -> None:
    low, high, _ = RANGES[name]
    cls(weights(), **{name: low})
    for outside in (low - 1e-9, high):
        with pytest.raises(ValueError, match=name):
            cls(weights(), **{name: outside})
