"""An exported class is a torch optimizer like any other."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.exporting import Provenance, export_rule
from search_space import parse_rule, zoo

RULES = {
    "powersign": "beta = 0.9; m = ema(g, beta); u = exp(sign(g) * sign(m)) * g",
    "adam": "adam",
    "reducing": "s = 0.9 * prev(s) + norm(g); u = m / s",
    "numbers": "b = 0.9 * prev(b, 1); u = drop(g, 0.2) * (1 - b) + noise(0.01)",
}
LAST_BITS: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-7}
"""Processors compute the last elements of a tensor by other instructions."""
GRADIENTS = np.random.default_rng(0).standard_normal((6, 2, 3))


@pytest.fixture(params=RULES.values(), ids=list(RULES))
def rule(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def optimizer_class(rule: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The class of an exported file, imported as a module so that it pickles."""
    module = ModuleType("exported")
    source = export_rule(parse_rule(rule), "torch", Provenance(name="exported", lr=0.1))
    exec(compile(source, str(tmp_path / "exported.py"), "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "exported", module)
    return module.__dict__["Exported"]


def parameter(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.ones(2, 3, dtype=dtype, requires_grad=True)


def steps(optimizer: Optimizer, first: int, last: int) -> Tensor:
    (w,) = optimizer.param_groups[0]["params"]
    for step in range(first, last):
        w.grad = torch.from_numpy(GRADIENTS[step]).to(w.dtype)
        optimizer.step()
    return w.detach().clone()  # type: ignore[no-any-return]  # groups hold Any


@pytest.mark.parametrize("maximize", [False, True])
def test_it_steps_as_the_rule_does(rule: str, optimizer_class: Any, maximize: bool) -> None:
    options: dict[str, Any] = {"lr": 0.01, "maximize": maximize} | ({"seed": 2**33} if "drop" in rule else {})
    exported = steps(optimizer_class([parameter()], **options), 0, 6)
    torch.testing.assert_close(
        exported, steps(RuleOptimizer([parameter()], rule, **options), 0, 6), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64], ids=str)
def test_other_dtypes(rule: str, optimizer_class: Any, dtype: torch.dtype) -> None:
    exported = steps(optimizer_class([parameter(dtype)], lr=0.01), 0, 6)
    ours = steps(RuleOptimizer([parameter(dtype)], rule, lr=0.01), 0, 6)
    torch.testing.assert_close(exported, ours)


def test_hyperparameters_live_in_groups() -> None:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(parse_rule(RULES["powersign"]), "torch", Provenance(lr=0.25)), namespace)
    groups: list[dict[str, Any]] = [{"params": [parameter()]}, {"params": [parameter()], "beta": 0.5}]
    optimizer = namespace["FoundRule"](groups)
    assert [(group["lr"], group["beta"]) for group in optimizer.param_groups] == [(0.25, 0.9), (0.25, 0.5)]
    with pytest.raises(ValueError, match="beta must be finite, but got nan"):
        namespace["FoundRule"]([parameter()], beta=float("nan"))
    with pytest.raises(ValueError, match="lr must be >= 0"):
        namespace["FoundRule"]([parameter()], lr=-1.0)
    with pytest.raises(TypeError, match="gamma"):
        namespace["FoundRule"]([parameter()], gamma=0.5)


def test_state_dict_goes_round(optimizer_class: Any) -> None:
    optimizer = optimizer_class([parameter()])
    w = steps(optimizer, 0, 3)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = optimizer_class([w.clone().requires_grad_()], lr=3.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(steps(optimizer, 3, 6), steps(other, 3, 6))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_goes_on(optimizer_class: Any, copied: Any) -> None:
    optimizer = optimizer_class([parameter()])
    steps(optimizer, 0, 3)
    other = copied(optimizer)
    assert torch.equal(steps(optimizer, 3, 6), steps(other, 3, 6))


def test_lr_0_leaves_parameters_untouched(optimizer_class: Any) -> None:
    w = parameter()
    w.grad = torch.full_like(w, torch.nan)
    optimizer_class([w], lr=0.0).step()
    assert torch.equal(w, torch.ones_like(w))


def test_closures_and_schedulers(optimizer_class: Any) -> None:
    w = parameter()
    optimizer = optimizer_class([w], lr=0.1)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, 4)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (w**2).sum()
        torch.autograd.backward(loss)
        return loss.item()

    assert optimizer.step(closure) == 6.0
    scheduler.step()
    assert optimizer.step(closure) != 6.0


def test_sparse_gradients_are_refused(optimizer_class: Any) -> None:
    w = parameter()
    w.grad = torch.ones_like(w).to_sparse()
    with pytest.raises(RuntimeError, match="dense gradients"):
        optimizer_class([w]).step()


@pytest.mark.parametrize(
    "text", ["adam", "g", "b = 0.9 * prev(b, 1); u = m * b", "d = g; u = prev(d) + w", zoo()["nadam"].text]
)
def test_foreach_takes_the_same_steps(text: str) -> None:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(parse_rule(text), "torch"), namespace)
    shapes = [(3,), (2, 3), (), (0,), (4,)]

    def after_steps(foreach: bool | None) -> tuple[list[Tensor], dict[Any, Any]]:
        ws = [
            torch.ones(shape, dtype=torch.bfloat16 if shape == (4,) else None, requires_grad=True) for shape in shapes
        ]
        optimizer = namespace["FoundRule"]([{"params": ws[:2]}, {"params": ws[2:], "lr": 0.1}], foreach=foreach)
        for step in range(4):
            for index, w in enumerate(ws):
                late = index == 1 and step < 2  # its count of steps differs from those of its group
                w.grad = None if late else torch.cos(torch.arange(w.numel()) + 1.0 + step).view(w.shape).to(w.dtype)
            optimizer.step()
        return ws, optimizer.state_dict()["state"]

    (one, first), (many, second), (default, _) = map(after_steps, (False, True, None))
    assert all(torch.equal(a, b) for a, b in zip(one, default, strict=True)), "on a CPU each steps alone"
    torch.testing.assert_close(many, one, **LAST_BITS)
    assert first.keys() == second.keys()
    for number, state in first.items():
        for name, value in state.items():
            torch.testing.assert_close(second[number][name], value, **LAST_BITS)


def test_only_a_rule_for_each_element_by_itself_has_foreach() -> None:
    assert "foreach=None" in export_rule(parse_rule("g"), "torch")
    for text in ("norm(g) * g", "drop(g, 0.1)"):
        assert "foreach" not in export_rule(parse_rule(text), "torch")
