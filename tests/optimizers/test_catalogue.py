"""Optimizers by name: what there is, and what is refused."""

from __future__ import annotations

import doctest
import importlib
import inspect
import math
import pkgutil
from typing import Any

import pytest
import torch
from torch import Tensor, optim

import neuropt.optimizers
from neuropt import RuleOptimizer, create_optimizer, parse_rule, zoo
from neuropt.optimizers import AddSign, PowerSign, create_named, named_optimizers
from neuropt.optimizers.catalogue import EXECUTION
from neuropt.optimizers.lstm_weights import network_text
from neuropt.optimizers.ranges import is_torchs

NAMES = list(named_optimizers())
ALL = sorted({*NAMES, *zoo()})
ISSUE = {
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw", "amsgrad", "nadam", "radam"),
    *("adamax", "adam-eps-hat", "rmsprop-eps-inside", "sgdw", "sgdwr", "adamwr", "yogi", "adabound", "amsbound"),
    *("lion", "lstm", "adagraft", "powersign", "addsign"),
    *("powersign-ld", "powersign-cd", "powersign-rd", "addsign-ld", "addsign-cd", "addsign-rd"),
}


def parameter() -> Tensor:
    return torch.tensor([2.0, -3.0], requires_grad=True)


def needed(name: str) -> dict[str, Any]:
    """Return the arguments without which there is no such optimizer."""
    if name not in NAMES:
        return {"decay_steps": 10} if zoo()[name].reads("T") else {}
    return {key: value for key, value in named_optimizers()[name].arguments(1.0, 10).items() if key != "lr"}


def defaults(name: str) -> dict[str, Any]:
    if name in NAMES:
        return dict(named_optimizers()[name].defaults)
    return {"lr": 1e-3, "maximize": False, **dict(zoo()[name].hyperparameters)}


def test_the_names() -> None:
    assert set(NAMES) >= ISSUE


def test_what_torch_has_is_torchs() -> None:
    torchs = {"adam": optim.Adam, "momentum": optim.SGD, "rmsprop": optim.RMSprop, "adamax": optim.Adamax}
    for name, cls in torchs.items():
        assert type(create_optimizer(name, [parameter()])) is cls


@pytest.mark.parametrize("name", NAMES)
def test_every_named_optimizer_descends(name: str) -> None:
    w = parameter()
    optimizer = create_named(name, [w], **needed(name))
    for _ in range(10):
        optimizer.zero_grad()
        torch.autograd.backward((w**2).sum())
        optimizer.step()
    assert (w**2).sum() < 13


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_groups_hold(name: str) -> None:
    row = named_optimizers()[name]
    group = create_named(name, [parameter()], **needed(name)).param_groups[0]
    found: dict[str, Any] = {"base_lr": group["lr"]} if not row.lr_free else {}
    if name == "adagraft":  # its group holds the children's hyperparameters
        found = {"magnitude": group["magnitude"], "direction": group["direction"]}
        assert (group["magnitude"]["lr"], group["direction"]["betas"]) == (1e-3, (0.9, 0.999))
    if name == "lstm":  # its group holds the network itself
        found = {"weights": network_text(row.defaults["weights"])}
    assert {key: group[key] for key in row.defaults} == {**row.defaults, **needed(name), **found}
    assert row.source
    assert "\n" not in row.formula
    assert set(row.variants) <= set(NAMES)


def test_grafts_are_not_pointwise() -> None:
    assert not named_optimizers()["adagraft"].pointwise
    assert all(named_optimizers()[name].pointwise for name in ISSUE - {"adagraft"})


OWN: set[Any] = {row.factory for row in named_optimizers().values() if not is_torchs(row.factory)}


@pytest.mark.parametrize("cls", sorted(OWN, key=str), ids=str)
def test_a_docstring_says_the_defaults_of_the_signature_and_the_source(cls: Any) -> None:
    text = " ".join((inspect.getdoc(cls) or "").split())
    assert "Source: " in text
    said = text.split("Defaults: ", 1)[1].split(" Args:")[0]
    for p in list(inspect.signature(cls).parameters.values())[1:]:
        if p.default is math.e:
            assert f"{p.name} e" in said
        elif p.name not in ("maximize", *EXECUTION, "decay_steps", "num_periods", "zero_after"):
            assert (f"{p.name} must be given" if p.default is p.empty else f"{p.name} {p.default!r}") in said


def test_names_stand_for_what_they_say() -> None:
    w = [parameter()]
    assert isinstance(create_named("addsign-rd", w, decay_steps=5, num_periods=2), AddSign)
    assert create_named("amsgrad", w).param_groups[0]["amsgrad"] is True
    assert create_named("nesterov", w).param_groups[0]["nesterov"] is True
    assert create_named("momentum", w, momentum=0.5).param_groups[0]["momentum"] == 0.5
    with_decay = create_named("powersign-cd", w, decay_steps=5).param_groups[0]
    by_hand = PowerSign(w, sign_decay="cosine", decay_steps=5).param_groups[0]
    assert with_decay == by_hand


def test_parameters_may_be_named_groups_or_a_generator() -> None:
    model = torch.nn.Linear(2, 1)
    groups: Any = iter([{"params": model.parameters(), "lr": 0.5}])
    for params in (model.parameters(), model.named_parameters(), groups):
        optimizer = create_optimizer("adam", params)
        assert len(optimizer.param_groups[0]["params"]) == 2


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamm'; choose one of sgd, momentum, .*addsign-rd"):
        create_named("adamm", [parameter()])


def test_an_unknown_hyperparameter_lists_the_valid_ones_and_other_conventions() -> None:
    with pytest.raises(TypeError, match=r"adamw has no hyperparameter 'beta1' \(got .*\); it has lr, betas"):
        create_named("adamw", [parameter()], beta1=0.9)
    with pytest.raises(TypeError, match=r"'eps_inside' .*; it has lr.* See also rmsprop-eps-inside"):
        create_named("rmsprop", [parameter()], eps_inside=True)
    with pytest.raises(TypeError, match=r"'eps_hat' .*; it has lr.* See also adam-eps-hat"):
        create_named("adam", [parameter()], eps_hat=1e-7)


def test_a_hyperparameter_that_contradicts_the_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"powersign-ld\(sign_decay=...\) is always 'linear', but got 'cosine'"):
        create_named("powersign-ld", [parameter()], sign_decay="cosine", decay_steps=5)
    with pytest.raises(ValueError, match=r"nesterov\(nesterov=...\) is always True"):
        create_named("nesterov", [parameter()], nesterov=False)
    with pytest.raises(ValueError, match=r"nesterov\(nesterov=True\) needs momentum > 0.*momentum=0.0"):
        create_named("nesterov", [parameter()], momentum=0.0)


@pytest.mark.parametrize(("name", "argument"), [("addsign-ld", "decay_steps"), ("adamwr", "T_0"), ("sgdwr", "T_0")])
def test_what_a_name_needs_is_asked_for(name: str, argument: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} needs {argument}=..."):
        create_named(name, [parameter()])


NOT_A_DECAY: list[Any] = [1.0, -0.1, math.nan, math.inf, "0.9"]
NEGATIVE: list[Any] = [-1.0, math.nan, math.inf, "0.1", None]
FAULTS: dict[str, list[Any]] = {
    "lr": NEGATIVE,
    "weight_decay": NEGATIVE,
    "eps": NEGATIVE,
    "final_lr": NEGATIVE,
    "magnitude_lr": NEGATIVE,
    "momentum_decay": NEGATIVE,
    "lr_decay": NEGATIVE,
    "initial_accumulator_value": NEGATIVE,
    "initial_accumulator": NEGATIVE,
    "betas": [(0.9, 1.0), (1.0, 0.9), (math.nan, 0.9), (0.9, -0.1), (0.9,), 0.9],
    **dict.fromkeys(("beta", "beta1", "beta2", "momentum", "rho"), NOT_A_DECAY),
    "alpha": [-0.1, math.nan, math.inf, "0.9"],  # AddSign's may be 1
    "base": [0.0, -1.0, math.nan],
    "gamma": [0.0, 1.0, math.nan],
    "T_0": [0, -5, 2.5, math.nan],
    "T_mult": [0, 1.5],
    "eta_min": [1.0, -0.1, math.nan],
    "nesterov": [1, "yes"],
    "centered": [1, "yes"],
    "maximize": [1, None],
}


def faults(name: str) -> list[tuple[str, Any]]:
    fixed = named_optimizers()[name].fixed if name in NAMES else {}
    return [(key, value) for key in defaults(name) if key in FAULTS and key not in fixed for value in FAULTS[key]]


@pytest.mark.parametrize("name", ALL)
def test_every_bad_value_is_refused_by_argument_and_value(name: str) -> None:
    assert len(faults(name)) >= len(FAULTS["lr"])
    for key, value in faults(name):
        for params, hyper in (([parameter()], {key: value}), ([{"params": [parameter()], key: value}], {})):
            with pytest.raises((ValueError, TypeError)) as caught:
                create_optimizer(name, params, **{**needed(name), **hyper})
            said, values = str(caught.value), value if isinstance(value, tuple) else (value,)
            assert f"({key}=" in said, (key, value, said)
            assert any(repr(v) in said for v in values), (key, value, said)


@pytest.mark.parametrize("name", ALL)
def test_unknown_keywords_empty_lists_and_bare_tensors_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        create_optimizer(name, [parameter()], learning_rate=0.1, **needed(name))
    with pytest.raises(ValueError, match="empty parameter list"):
        create_optimizer(name, [], **needed(name))
    with pytest.raises(TypeError, match="iterable of Tensors"):
        create_optimizer(name, parameter(), **needed(name))


def test_a_rule_of_the_zoo_keeps_its_ranges_and_a_rule_of_ones_own_has_none() -> None:
    rule = zoo()["adam"]
    with pytest.raises(ValueError, match=r"RuleOptimizer\(beta1=...\) must be a number >= 0 and < 1, but got 1.0"):
        RuleOptimizer([parameter()], rule, beta1=1.0)
    with pytest.raises(ValueError, match=r"RuleOptimizer\(eps=...\).*-1.0"):
        RuleOptimizer([parameter()], rule.text).add_param_group({"params": [parameter()], "eps": -1.0})
    assert RuleOptimizer([parameter()], zoo()["addsign"], alpha=2.0).param_groups[0]["alpha"] == 2.0
    own = parse_rule("beta = 0.9; b = beta * prev(b) + g; u = b")
    assert RuleOptimizer([parameter()], own, beta=1.0).param_groups[0]["beta"] == 1.0


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(neuropt.optimizers.__path__)])
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.optimizers.{module}")).failed == 0
