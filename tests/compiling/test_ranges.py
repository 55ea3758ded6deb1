from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from neuropt import RuleOptimizer, export_rule, parse_rule
from neuropt.compiling.ranges import RANGES
from neuropt.exporting import Provenance
from neuropt.optimizers import SGDW, Yogi

RULE = "beta1 = 0.9; eps = 1e-8; base = 2; u = base * ema(g, beta1) / (sqrt(v) + eps)"
LIFTED = "beta1 = 1.5; eps = -1; u = beta1 * g + eps"


def weights() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


def exported(rule: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(export_rule(parse_rule(rule), "torch", Provenance()), namespace)
    return namespace["FoundRule"]


@pytest.mark.parametrize(("name", "value"), [("beta1", 1.0), ("beta1", -0.1), ("eps", -1e-8), ("base", math.inf)])
def test_a_value_outside_the_range_of_torch_s_name_is_refused(name: str, value: float) -> None:
    for make in (lambda p, **h: RuleOptimizer(p, RULE, **h), exported(RULE)):
        with pytest.raises(ValueError, match=rf"{name}.* must be .*, but got {value}"):
            make(weights(), **{name: value})
        with pytest.raises(ValueError, match=name):
            make([{"params": weights(), name: value}])


def test_a_rule_whose_own_value_is_outside_means_something_else_by_the_name() -> None:
    for make in (lambda p, **h: RuleOptimizer(p, LIFTED, **h), exported(LIFTED)):
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
