"""Optimizers by name."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest
import torch

import neuropt.optimizers
from neuropt.optimizers import Adam, AddSign, PowerSign, create_named, named_optimizers
from neuropt.optimizers.lstm_weights import network_text

NAMES = [
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "adamw", "amsgrad", "nadam", "radam", "adamax"),
    *("adam", "sgdw", "yogi", "adabound", "amsbound", "lion", "lstm", "adagraft", "powersign", "addsign"),
    *("powersign-ld", "powersign-cd", "powersign-rd", "addsign-ld", "addsign-cd", "addsign-rd"),
]


def needed(name: str) -> dict[str, Any]:
    return {"decay_steps": 10} if "-" in name else {}


def test_the_names() -> None:
    assert list(named_optimizers()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_named_optimizer_descends(name: str) -> None:
    w = torch.tensor([2.0, -3.0], requires_grad=True)
    optimizer = create_named(name, [w], **needed(name))
    for _ in range(10):
        optimizer.zero_grad()
        torch.autograd.backward((w**2).sum())
        optimizer.step()
    assert (w**2).sum() < 13


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_the_groups_hold(name: str) -> None:
    row = named_optimizers()[name]
    group = create_named(name, [torch.zeros(1, requires_grad=True)], **needed(name)).param_groups[0]
    found = {"base_lr": group["lr"]} if name in ("adabound", "amsbound") else {}
    if name == "adagraft":  # its group holds the children's hyperparameters
        found = {"magnitude": group["magnitude"], "direction": group["direction"]}
        assert (group["magnitude"]["lr"], group["direction"]["betas"]) == (1e-3, (0.9, 0.999))
    if name == "lstm":  # its group holds the network itself
        found = {"weights": network_text(row.defaults["weights"])}
    assert {key: group[key] for key in row.defaults} == {**row.defaults, **needed(name), **found}
    assert row.pointwise == (name != "adagraft")
    assert row.source
    assert "\n" not in row.formula


def test_names_stand_for_what_they_say() -> None:
    w = [torch.zeros(1, requires_grad=True)]
    assert isinstance(create_named("adam", w), Adam)
    assert isinstance(create_named("addsign-rd", w, decay_steps=5, num_periods=2), AddSign)
    assert create_named("amsgrad", w).param_groups[0]["amsgrad"] is True
    assert create_named("nesterov", w).param_groups[0]["nesterov"] is True
    assert create_named("momentum", w, momentum=0.5).param_groups[0]["momentum"] == 0.5
    with_decay = create_named("powersign-cd", w, decay_steps=5).param_groups[0]
    by_hand = PowerSign(w, sign_decay="cosine", decay_steps=5).param_groups[0]
    assert with_decay == by_hand


def test_an_unknown_name_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamm'; choose one of sgd, momentum, .*addsign-rd"):
        create_named("adamm", [torch.zeros(1, requires_grad=True)])


def test_an_unknown_hyperparameter_lists_the_valid_ones() -> None:
    with pytest.raises(TypeError, match=r"adamw has no hyperparameter 'beta1'; it has lr, betas"):
        create_named("adamw", [torch.zeros(1, requires_grad=True)], beta1=0.9)


def test_a_hyperparameter_that_contradicts_the_name_is_refused() -> None:
    w = [torch.zeros(1, requires_grad=True)]
    with pytest.raises(ValueError, match=r"powersign-ld\(sign_decay=...\) is always 'linear', but got 'cosine'"):
        create_named("powersign-ld", w, sign_decay="cosine", decay_steps=5)
    with pytest.raises(ValueError, match=r"nesterov\(nesterov=...\) is always True"):
        create_named("nesterov", w, nesterov=False)


def test_decayed_names_need_the_planned_steps() -> None:
    with pytest.raises(ValueError, match=r"addsign-ld needs decay_steps=..."):
        create_named("addsign-ld", [torch.zeros(1, requires_grad=True)])


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(neuropt.optimizers.__path__)])
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.optimizers.{module}")).failed == 0
