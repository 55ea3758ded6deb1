"""Every known optimizer of the zoo, compiled, against torch's class or the hand-coded one, over a hundred steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import optim
from torch.optim import Optimizer

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers import (
    SGDW,
    SGDWR,
    AdaBound,
    AdamEpsHat,
    AdamWR,
    AMSBound,
    Lion,
    RMSpropEpsInside,
    Yogi,
    named_optimizers,
)
from search_space import zoo
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem, path, start

STEPS = 100

Factory = Callable[..., Optimizer]


def made(factory: Any, **hyper: Any) -> Factory:
    return lambda params, lr: factory(params, lr=lr, **hyper)


REFERENCES: dict[str, Factory] = {
    "sgd": made(optim.SGD),
    "momentum": made(optim.SGD, momentum=0.9),
    "nesterov": made(optim.SGD, momentum=0.9, nesterov=True),
    "sgdw": made(SGDW),
    "adagrad": made(optim.Adagrad),
    "rmsprop": made(optim.RMSprop),
    "rmsprop-eps-inside": made(RMSpropEpsInside),
    "rmsprop-centered": made(optim.RMSprop, centered=True),
    "rmsprop-momentum": made(optim.RMSprop, momentum=0.9),
    "adadelta": made(optim.Adadelta),
    "adam": made(optim.Adam),
    "adam-eps-hat": made(AdamEpsHat),
    "adamw": made(optim.AdamW),
    "amsgrad": made(optim.Adam, amsgrad=True),
    "nadam": made(optim.NAdam),
    "radam": made(optim.RAdam),
    "adamax": made(optim.Adamax),
    "yogi": made(Yogi),
    "adabound": made(AdaBound, base_lr=1e-3),
    "amsbound": made(AMSBound, base_lr=1e-3),
    "lion": made(Lion),
    "adamwr": made(AdamWR, base_lr=1e-3, T_0=100),
    "sgdwr": made(SGDWR, base_lr=1e-3, T_0=100),
}
OTHER_VALUES: dict[str, dict[str, Any]] = {
    "adam-eps-hat": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    "rmsprop-eps-inside": {"alpha": 0.5, "eps": 1e-3},
    "adamwr": {
        "beta1": 0.5,
        "beta2": 0.9,
        "T_0": 3,
        "T_mult": 2,
        "eta_min": 0.25,
        "weight_decay": 0.1,
        "base_lr": 1e-2,
    },
    "sgdwr": {"momentum": 0.5, "T_0": 7, "T_mult": 3, "eta_min": 0.25, "weight_decay": 0.1, "base_lr": 1e-2},
    "sgdw": {"momentum": 0.5, "weight_decay": 0.3},
    "nadam": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3, "momentum_decay": 0.1},
    "radam": {"beta1": 0.5, "beta2": 0.99, "eps": 1e-3},
    "adamax": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    "adadelta": {"rho": 0.5, "eps": 1e-3},
    "yogi": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-8},
    "adabound": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-2, "final_lr": 1e-3, "gamma": 0.5, "base_lr": 1e-2},
    "amsbound": {"beta1": 0.5, "beta2": 0.9, "eps": 1e-2, "final_lr": 1e-3, "gamma": 0.5, "base_lr": 1e-2},
    "lion": {"beta1": 0.3, "beta2": 0.8, "weight_decay": 0.1},
}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    # torch's NAdam keeps the product of its momenta in the default type, and float32 is good to 1e-7 only
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def as_torch(values: dict[str, float]) -> dict[str, Any]:
    betas = {"betas": (values["beta1"], values["beta2"])} if "beta1" in values else {}
    return {name: value for name, value in values.items() if name not in ("beta1", "beta2")} | betas


@pytest.mark.parametrize("lr", [1e-2, 1e-3, 1e-4], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", REFERENCES)
def test_a_hundred_steps(name: str, problem: Problem, lr: float) -> None:
    while not np.all(np.abs(expected := path(REFERENCES[name](start(problem), lr), problem, STEPS)) < 1e6):
        lr /= 10  # the reference must stay finite
    assert_same(path(RuleOptimizer(start(problem), zoo()[name], lr), problem, STEPS), expected)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_hundred_steps_with_other_hyperparameters(name: str, problem: Problem) -> None:
    values, lr = OTHER_VALUES[name], 1e-4
    expected = path(named_optimizers()[name].create(start(problem), lr=lr, **as_torch(values)), problem, STEPS)
    assert np.all(np.isfinite(expected))
    assert_same(path(RuleOptimizer(start(problem), zoo()[name], lr, **values), problem, STEPS), expected)
