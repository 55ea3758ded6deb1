"""The hand-coded optimizers against the authors' code and against the formula in a few lines of numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from neuropt.optimizers import SGDW, AdaBound, AdaGraft, AMSBound, Lion, Yogi

Array = NDArray[np.float64]
Step = Callable[[Array, Array, int, float], Array]
"""(g, w, t from 1, lr) -> the new w."""

DATA = Path(__file__).parents[1] / "data"
PROBLEM = json.loads((DATA / "sign_trajectories.json").read_text())["problem"]
ROWS = {row["algorithm"]: row for row in json.loads((DATA / "optimizer_trajectories.json").read_text())["trajectories"]}
ROUNDING = 1e-12  # relative to max(1, |w|): the forms differ by the order of a few operations
GRADIENTS = np.array(PROBLEM["gradients"])
START = np.array(PROBLEM["start"])


def follow(factory: Any, shapes: list[list[int]], rates: list[float] | None = None, **hyper: Any) -> Iterator[Array]:
    """Yield the parameters after each step on the fifty gradients, as one vector."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.split(torch.from_numpy(START), sizes)
    weights = [x.clone().view(shape).requires_grad_() for x, shape in zip(parts, shapes, strict=True)]
    optimizer = factory(weights, **hyper)
    for step, gradient in enumerate(GRADIENTS):
        for w, g in zip(weights, torch.split(torch.from_numpy(gradient), sizes), strict=True):
            w.grad = g.clone().view_as(w)
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.step()
        yield torch.cat([w.detach().reshape(-1) for w in weights]).numpy()


AUTHORS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "sgdw": (SGDW, ("lr", "momentum", "weight_decay", "nesterov")),
    "yogi": (Yogi, ("lr", "betas", "eps", "weight_decay", "initial_accumulator")),
    "lion": (Lion, ("lr", "betas", "weight_decay")),
    "adabound": (AdaBound, ("lr", "betas", "final_lr", "gamma", "eps", "weight_decay")),
    "amsbound": (AMSBound, ("lr", "betas", "final_lr", "gamma", "eps", "weight_decay")),
}


@pytest.mark.parametrize("name", AUTHORS)
def test_fifty_gradients_follow_the_authors_code(name: str) -> None:
    row, (factory, names) = ROWS[name], AUTHORS[name]
    seen = list(follow(factory, PROBLEM["shapes"], **{key: row["hyper"][key] for key in names}))
    for step, expected in row["after_step"].items():
        np.testing.assert_allclose(seen[int(step) - 1], expected, rtol=row["rtol"], atol=0)


def test_fifty_gradients_follow_the_authors_code_of_adagraft() -> None:
    row = ROWS["adagraft"]
    assert (row["hyper"]["M"], row["hyper"]["D"]) == ("SGD(lr=1e-3)", "Adam(lr=1e-2)")
    children: dict[str, Any] = {"magnitude": ("sgd", {"lr": 1e-3}), "direction": ("adam", {"lr": 1e-2})}
    seen = list(follow(AdaGraft, PROBLEM["shapes"], lr=row["hyper"]["lr"], eps=row["hyper"]["eps"], **children))
    for step, expected in row["after_step"].items():
        np.testing.assert_allclose(seen[int(step) - 1], expected, rtol=row["rtol"], atol=0)


def sgdw(
    momentum: float = 0.9, weight_decay: float = 1e-2, nesterov: bool = False, decay: str = "lr", base: float = 1e-3
) -> Step:
    buf = np.zeros(17)

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal buf
        buf = momentum * buf + g
        shrink = lr if decay == "lr" else lr / base
        return w - lr * (g + momentum * buf if nesterov else buf) - shrink * weight_decay * w

    return step


def yogi(
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-3,
    weight_decay: float = 0.0,
    initial_accumulator: float = 1e-6,
    initial_momentum: float | None = None,
) -> Step:
    m = np.full(17, initial_accumulator if initial_momentum is None else initial_momentum)
    v = np.full(17, initial_accumulator)

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m, v
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = v - (1 - betas[1]) * np.sign(v - g**2) * g**2
        return w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)

    return step


def lion(betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0) -> Step:
    m = np.zeros(17)

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m
        u = np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        return w * (1 - lr * weight_decay) - lr * u

    return step


def adabound(
    betas: tuple[float, float] = (0.9, 0.999),
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    base: float = 1e-3,
    ams: bool = False,
) -> Step:
    m, v, largest = np.zeros(17), np.zeros(17), np.zeros(17)

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m, v, largest
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) / (np.sqrt(largest if ams else v) + eps)
        final = final_lr * lr / base
        low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
        moved: Array = w - np.minimum(np.maximum(rate, low), high) * m
        return moved

    return step


def amsbound(**hyper: Any) -> Step:
    return adabound(**hyper, ams=True)


BOUND_SETTINGS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"final_lr": 1e-3, "gamma": 0.5},  # both bounds are reached
    {"betas": (0.5, 0.9), "eps": 1e-2},
]
SETTINGS: list[tuple[Any, Callable[..., Step], dict[str, Any]]] = [
    (SGDW, sgdw, {}),
    (SGDW, sgdw, {"momentum": 0.0, "weight_decay": 0.3}),
    (SGDW, sgdw, {"nesterov": True, "momentum": 0.5}),
    (SGDW, sgdw, {"decay": "schedule"}),
    (SGDW, sgdw, {"decay": "schedule", "nesterov": True}),
    (Lion, lion, {}),
    (Lion, lion, {"betas": (0.3, 0.8), "weight_decay": 0.1}),
    (Yogi, yogi, {}),
    (Yogi, yogi, {"initial_momentum": 0.0, "weight_decay": 0.1}),
    (Yogi, yogi, {"initial_accumulator": 0.1, "initial_momentum": -0.5, "betas": (0.5, 0.9), "eps": 1e-8}),
    *((AdaBound, adabound, hyper) for hyper in BOUND_SETTINGS),
    *((AMSBound, amsbound, hyper) for hyper in BOUND_SETTINGS),
]


@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
@pytest.mark.parametrize(("factory", "reference", "hyper"), SETTINGS, ids=str)
def test_fifty_gradients_follow_the_formula(
    factory: Any, reference: Callable[..., Step], hyper: dict[str, Any], scheduled: bool
) -> None:
    lr, w, step = 1e-3, START, reference(**hyper)
    rates = [lr * (1 - k / 49) if scheduled else lr for k in range(50)]  # down to exactly 0
    for t, seen in enumerate(follow(factory, [[17]], rates, lr=lr, **hyper), start=1):
        w = step(GRADIENTS[t - 1], w, t, rates[t - 1])
        np.testing.assert_array_less(np.abs(seen - w) / np.maximum(1.0, np.abs(w)), ROUNDING)


@pytest.mark.parametrize("factory", [AdaBound, AMSBound])
def test_bounds_are_measured_against_the_lr_that_each_group_starts_with(factory: Any) -> None:
    first, second = (torch.ones(1, requires_grad=True) for _ in range(2))
    optimizer = factory([{"params": [first]}], lr=0.01)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.add_param_group({"params": [second], "lr": 0.5})
    assert [group["base_lr"] for group in optimizer.param_groups] == [0.01, 0.5]
    assert [group["base_lr"] for group in factory(optimizer.param_groups).param_groups] == [0.01, 0.5]


def test_a_group_that_fails_is_not_added() -> None:
    optimizer = AdaBound([torch.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match=r"AdaBound\(lr=...\) must be > 0 where a group starts.*got 0.0"):
        optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.0})
    assert len(optimizer.param_groups) == 1


def test_sgdw_with_its_decay_tied_to_the_schedule_starts_above_zero() -> None:
    w = [torch.ones(1, requires_grad=True)]
    assert SGDW(w, lr=0.0).param_groups[0]["base_lr"] is None
    with pytest.raises(ValueError, match=r"SGDW\(lr=...\) must be > 0"):
        SGDW(w, lr=0.0, decay="schedule")
    with pytest.raises(ValueError, match=r"SGDW\(nesterov=True\) needs momentum > 0"):
        SGDW(w, momentum=0.0, nesterov=True)
