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


def exported(text: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(export_rule(parse_rule(text), "torch"), namespace)
    return namespace["FoundRule"]


def test_a_state_of_an_older_file_takes_the_arguments_it_lacks_from_the_new() -> None:
    saved = exported("beta = 0.9; u = ema(g, beta)")([parameter()], lr=0.5).state_dict()
    for name in ("beta", "weight_decay", "maximize", "foreach"):
        del saved["param_groups"][0][name]
    optimizer = exported("beta = 0.9; u = ema(g, beta)")([parameter()], beta=0.8)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0].items() >= {"lr": 0.5, "beta": 0.8, "weight_decay": 0.0, "foreach": None}.items()
    steps(optimizer, 0, 1)


def test_a_state_of_another_optimizer_is_refused() -> None:
    other = torch.optim.AdamW([parameter()])
    steps(other, 0, 1)
    with pytest.raises(
        ValueError, match=r"state must hold \('step', 'm'\), but holds \('step', 'exp_avg', 'exp_avg_sq'\)"
    ):
        exported("m")([parameter()]).load_state_dict(other.state_dict())


def test_two_optimizers_that_loaded_one_state_step_apart(optimizer_class: Any) -> None:
    first, second, alone = (optimizer_class([parameter()]) for _ in range(3))
    steps(first, 0, 2)
    steps(alone, 0, 2)
    second.load_state_dict(first.state_dict())
    steps(second, 2, 5)
    assert torch.equal(steps(first, 2, 4), steps(alone, 2, 4))


def test_weight_decay_is_decoupled_from_a_rule_without_one() -> None:
    # u_0 = 1, u_1 = 0.5 + 1; w = 2 -> 2 - 0.1 (1 + 0.5 * 2) = 1.8 -> 1.8 - 0.1 (1.5 + 0.5 * 1.8) = 1.56
    text = "u = 0.5 * prev(u) + g"
    assert "weight_decay=0.0" in export_rule(parse_rule(text), "torch")
    for foreach in (False, True):
        ws = [torch.full((2,), 2.0, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        groups: list[dict[str, Any]] = [{"params": ws[:1], "weight_decay": 0.0}, {"params": ws[1:]}]
        optimizer = exported(text)(groups, lr=0.1, weight_decay=0.5, foreach=foreach)
        for _ in range(2):
            for w in ws:
                w.grad = torch.ones_like(w)
            optimizer.step()
        torch.testing.assert_close(torch.stack(ws)[:, 0], torch.tensor([1.75, 1.56], dtype=torch.float64))
    with pytest.raises(ValueError, match="weight_decay must be >= 0, but got -1"):
        exported(text)([parameter()], weight_decay=-1)


def test_a_rule_that_calls_something_else_weight_decay_keeps_it_apart() -> None:
    optimizer = exported("weight_decay = 0.5 * g; u = prev(weight_decay) + g")([parameter()], lr=1.0, weight_decay=0.25)
    (w,) = optimizer.param_groups[0]["params"]
    w.grad = torch.ones_like(w)
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.full_like(w, 1 - 1 - 0.25))


@pytest.mark.parametrize(
    ("text", "options", "error", "message"),
    [
        ("m * ld", {"decay_steps": 0}, ValueError, "decay_steps must be > 0, but got 0"),
        ("m * ld", {"decay_steps": -3}, ValueError, "decay_steps must be > 0, but got -3"),
        ("drop(g, 0.1)", {"seed": 1.5}, TypeError, "seed must be an integer, but got 1.5"),
    ],
)
def test_wrong_plans_and_seeds_are_refused(text: str, options: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        exported(text)([parameter()], **options)


def test_lr_may_be_a_tensor_of_one_element(optimizer_class: Any) -> None:
    for shape in ((), (2, 3)):
        one, other = (torch.ones(shape, requires_grad=True) for _ in range(2))
        one.grad, other.grad = (torch.full(shape, 0.5) for _ in range(2))
        optimizer_class([one], lr=0.1).step()
        optimizer_class([other], lr=torch.tensor([0.1], dtype=torch.float64)).step()
        assert torch.equal(one, other)


class Sharded(Tensor):
    """A tensor that may not be put together with others, as a DTensor only is by gathering what others hold."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.cat
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]  # torch has no types for it


def test_foreach_leaves_tensors_of_other_kinds_alone() -> None:
    ws = [torch.ones(3).as_subclass(Sharded).requires_grad_() for _ in range(2)]
    for w in ws:
        w.grad = torch.ones(3).as_subclass(Sharded)
    exported("m")(ws, lr=1.0, foreach=True).step()
    for w in ws:
        torch.testing.assert_close(w.detach().as_subclass(Tensor), torch.full((3,), 0.9))


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
