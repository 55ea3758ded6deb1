"""The hand-coded optimizers, by name, against the authors' code and against the formulas in numpy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropt import create_optimizer
from neuropt.optimizers import SGDW, AdaBound, AMSBound
from tests.optimizers import formulas
from tests.optimizers.formulas import Array, Step

DATA = Path(__file__).parents[1] / "data"
PROBLEM = json.loads((DATA / "sign_trajectories.json").read_text())["problem"]
ROWS = [
    row
    for name in ("optimizer_trajectories.json", "sign_trajectories.json")
    for row in json.loads((DATA / name).read_text())["trajectories"]
]
ROUNDING = 1e-12  # relative to max(1, |w|): the forms differ by the order of a few operations
GRADIENTS = np.array(PROBLEM["gradients"])
START = np.array(PROBLEM["start"])


def follow(
    name: str,
    shapes: list[list[int]],
    gradients: Array = GRADIENTS,
    rates: list[float] | None = None,
    **hyper: Any,
) -> Iterator[Array]:
    """Yield the parameters after each step, as one vector."""
    sizes = [math.prod(shape) for shape in shapes]
    parts = torch.split(torch.from_numpy(START), sizes)
    weights = [x.clone().view(shape).requires_grad_() for x, shape in zip(parts, shapes, strict=True)]
    optimizer = create_optimizer(name, weights, **hyper)
    for step, gradient in enumerate(gradients):
        for w, g in zip(weights, torch.split(torch.from_numpy(gradient), sizes), strict=True):
            w.grad = g.clone().view_as(w)
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.step()
        yield torch.cat([w.detach().reshape(-1) for w in weights]).numpy()


DECAYS: dict[str, dict[str, Any]] = {
    "constant 1": {},
    "linear_decay(decay_steps=50)": {"sign_decay": "linear", "decay_steps": 50},
    "cosine_decay(decay_steps=50, num_periods=0.5)": {"sign_decay": "cosine", "decay_steps": 50},
}
ARGUMENTS = {
    *("lr", "momentum", "weight_decay", "nesterov", "betas", "eps", "initial_accumulator", "final_lr", "gamma"),
    *("base", "alpha", "beta"),
}
"""What of a row's `hyper` are arguments; the rest says in words what the code does."""


def arguments(row: dict[str, Any]) -> dict[str, Any]:
    hyper = {name: value for name, value in row["hyper"].items() if name in ARGUMENTS}
    if row["algorithm"] == "adagraft":
        assert (row["hyper"]["M"], row["hyper"]["D"]) == ("SGD(lr=1e-3)", "Adam(lr=1e-2)")
        hyper |= {"magnitude": ("sgd", {"lr": 1e-3}), "direction": ("adam", {"lr": 1e-2})}
    return hyper | DECAYS[row["hyper"].get("sign_decay", "constant 1")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["algorithm"])
def test_fifty_gradients_follow_the_authors_code(row: dict[str, Any]) -> None:
    seen = list(follow(row["algorithm"], PROBLEM["shapes"], **arguments(row)))
    for step, expected in row["after_step"].items():
        np.testing.assert_allclose(seen[int(step) - 1], expected, rtol=row["rtol"], atol=0)


def assert_close(seen: Array, expected: Array, tolerance: float = ROUNDING) -> None:
    np.testing.assert_array_less(np.abs(seen - expected) / np.maximum(1.0, np.abs(expected)), tolerance)


FORMULAS: dict[str, Callable[..., Step]] = {
    "adam-eps-hat": formulas.adam_eps_hat,
    "rmsprop-eps-inside": formulas.rmsprop_eps_inside,
    "sgdw": formulas.sgdw,
    "lion": formulas.lion,
    "yogi": formulas.yogi,
    "adabound": formulas.adabound,
    "amsbound": formulas.amsbound,
    "adamwr": formulas.adamwr,
    "sgdwr": formulas.sgdwr,
    "powersign": formulas.powersign,
    "addsign": formulas.addsign,
}
BOUND_SETTINGS: list[dict[str, Any]] = [
    {},
    {"weight_decay": 0.1},
    {"final_lr": 1e-3, "gamma": 0.5},  # both bounds are reached
    {"betas": (0.5, 0.9), "eps": 1e-2},
]
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("adam-eps-hat", {}),
    ("rmsprop-eps-inside", {}),
    ("rmsprop-eps-inside", {"centered": True, "momentum": 0.5, "initial_accumulator": 1.0}),
    ("sgdw", {}),
    ("sgdw", {"momentum": 0.0, "weight_decay": 0.3}),
    ("sgdw", {"nesterov": True, "momentum": 0.5}),
    ("sgdw", {"decay": "schedule"}),
    ("sgdw", {"decay": "schedule", "nesterov": True}),
    ("lion", {}),
    ("lion", {"betas": (0.3, 0.8), "weight_decay": 0.1}),
    ("yogi", {}),
    ("yogi", {"initial_momentum": 0.0, "weight_decay": 0.1}),
    ("yogi", {"initial_accumulator": 0.1, "initial_momentum": -0.5, "betas": (0.5, 0.9), "eps": 1e-8}),
    *(("adabound", hyper) for hyper in BOUND_SETTINGS),
    *(("amsbound", hyper) for hyper in BOUND_SETTINGS),
    ("adamwr", {"T_0": 7}),
    ("adamwr", {"T_0": 3, "T_mult": 2, "eta_min": 0.1, "weight_decay": 0.5}),
    ("sgdwr", {"T_0": 1, "T_mult": 3}),
    ("sgdwr", {"T_0": 50, "nesterov": True}),
]


@pytest.mark.parametrize("scheduled", [False, True], ids=["constant", "scheduled"])
@pytest.mark.parametrize(("name", "hyper"), SETTINGS, ids=str)
def test_fifty_gradients_follow_the_formula(name: str, hyper: dict[str, Any], scheduled: bool) -> None:
    lr, w, step = 1e-3, START, FORMULAS[name](**hyper)
    rates = [lr * (1 - k / 49) if scheduled else lr for k in range(50)]  # down to exactly 0
    for t, seen in enumerate(follow(name, [[17]], rates=rates, lr=lr, **hyper), start=1):
        w = step(GRADIENTS[t - 1], w, t, rates[t - 1])
        assert_close(seen, w)


fractions = st.floats(0.0, 0.99)
betas = st.tuples(fractions, st.floats(0.0, 0.999))
eps = st.sampled_from([1e-8, 1e-5, 1e-2])
decays = st.sampled_from([0.0, 0.01, 0.3])
momenta = st.sampled_from([(0.0, False), (0.9, False), (0.9, True), (0.3, True)])
restarts = {
    "weight_decay": decays,
    "T_0": st.integers(1, 9),
    "T_mult": st.integers(1, 3),
    "eta_min": st.sampled_from([0.0, 0.25]),
}
periods = st.none() | st.sampled_from([0.5, 1.0, 1.5, 3.0])
signs = {
    "beta": fractions,
    "weight_decay": decays,
    "decay_steps": st.integers(1, 20),
    "sign_decay": st.sampled_from([None, "linear"]).map(lambda kind: (kind, None, None))
    | st.tuples(st.sampled_from(["cosine", "restart"]), periods, periods),
}
bounds = {
    "betas": betas,
    "final_lr": st.floats(1e-4, 1.0),
    "gamma": st.floats(1e-4, 0.9),
    "eps": eps,
    "weight_decay": decays,
}
STRATEGIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "adam-eps-hat": {"betas": betas, "eps": eps, "weight_decay": decays},
    "rmsprop-eps-inside": {
        "eps": eps,
        "weight_decay": decays,
        "momentum": fractions,
        # with a small alpha v - gbar^2 is all rounding, which eps does not hide
        "centered": st.tuples(st.just(False), fractions) | st.tuples(st.just(True), st.floats(0.5, 0.99)),
        "initial_accumulator": st.sampled_from([0.0, 1.0]),
    },
    "sgdw": {"momentum": momenta, "weight_decay": decays, "decay": st.sampled_from(["lr", "schedule"])},
    "lion": {"betas": betas, "weight_decay": decays},
    "yogi": {
        "betas": betas,
        "eps": eps,
        "weight_decay": decays,
        "initial_accumulator": st.floats(0.0, 1.0),
        "initial_momentum": st.none() | st.floats(-1.0, 1.0),
    },
    "adabound": bounds,
    "amsbound": bounds,
    "adamwr": {"betas": betas, "eps": eps, **restarts},
    "sgdwr": {"momentum": momenta, **restarts},
    "powersign": {"base": st.floats(1.1, 10.0), **signs},
    "addsign": {"alpha": st.floats(0.0, 3.0), **signs},
}


MEASURED = {"sgdw", "adabound", "amsbound", "adamwr", "sgdwr"}
"""Those that measure lr against the one they start with."""


def apart(hyper: dict[str, Any]) -> dict[str, Any]:
    """Some are drawn together: momentum and nesterov, since one needs the other, a decay and its periods, centered and alpha."""
    if isinstance(hyper.get("momentum"), tuple):
        hyper["momentum"], hyper["nesterov"] = hyper["momentum"]
    if "centered" in hyper:
        hyper["centered"], hyper["alpha"] = hyper["centered"]
    if "sign_decay" in hyper:
        hyper["sign_decay"], hyper["num_periods"], hyper["zero_after"] = hyper["sign_decay"]
    return hyper


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_hyperparameters_follow_the_formula(name: str, data: st.DataObject) -> None:
    hyper = apart(data.draw(st.fixed_dictionaries(STRATEGIES[name])))
    maximize, lr = data.draw(st.booleans()), data.draw(st.floats(1e-4, 0.1))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    gradients = random.normal(size=(12, 17)) * 10.0 ** random.integers(-3, 3, size=(12, 17))
    rates = [lr * factor for factor in (1, 0.5, 0, 2) * 3]
    w, step = START, FORMULAS[name](**hyper, **({"base": lr} if name in MEASURED else {}))
    for t, seen in enumerate(follow(name, [[5], [3, 4]], gradients, rates, lr=lr, maximize=maximize, **hyper), start=1):
        g = -gradients[t - 1] if maximize else gradients[t - 1]
        w = step(g, w, t, rates[t - 1])
        assert_close(seen, w)


CHILDREN: dict[str, Callable[..., Step]] = {
    "sgd": formulas.sgd,
    "adam": formulas.adam,
    "adam-eps-hat": formulas.adam_eps_hat,
    "yogi": formulas.yogi,
    "lion": formulas.lion,
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_graft_follows_the_formula(data: st.DataObject) -> None:
    m, d = (data.draw(st.sampled_from(sorted(CHILDREN))) for _ in range(2))
    m_lr, d_lr, lr = (data.draw(st.floats(1e-2, 1.0)) for _ in range(3))
    hyper: dict[str, Any] = {"weight_decay": data.draw(decays)}
    global_norm, maximize = data.draw(st.booleans()), data.draw(st.booleans())
    gradients = np.random.default_rng(data.draw(st.integers(0, 2**32))).normal(size=(10, 17))
    children: dict[str, Any] = {"magnitude": (m, {"lr": m_lr, **hyper}), "direction": (d, {"lr": d_lr, **hyper})}
    graft: dict[str, Any] = {
        "lr": lr,
        "global_norm": global_norm,
        "maximize": maximize,
        "eps": data.draw(st.sampled_from([1e-16, 1.0])),
    }
    sizes = [17] if global_norm else [5, 12]
    step = formulas.adagraft(CHILDREN[m](**hyper), CHILDREN[d](**hyper), m_lr, d_lr, graft["eps"], sizes)
    w = START
    for t, seen in enumerate(follow("adagraft", [[5], [3, 4]], gradients, **children, **graft), start=1):
        w = step(-gradients[t - 1] if maximize else gradients[t - 1], w, t, lr)
        # steps are differences of weights, which costs the digits by which they are shorter
        assert_close(seen, w, tolerance=1e-11)


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


def test_centered_rmsprop_stays_finite_where_gradients_do_not_change() -> None:
    # v - gbar^2 goes to 0 from above, and to -6e-5 in float32: torch's root of it is NaN
    ours, theirs = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizers = (
        create_optimizer("rmsprop-eps-inside", [ours], centered=True, alpha=0.9),
        create_optimizer("rmsprop", [theirs], centered=True, alpha=0.9),
    )
    for _ in range(300):
        ours.grad = theirs.grad = torch.tensor([10.0, 30.0, 7.7])
        for optimizer in optimizers:
            optimizer.step()
    assert torch.isfinite(ours).all()
    assert theirs.isnan().any()
