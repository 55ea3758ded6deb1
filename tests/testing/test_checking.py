from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

import neuropt
from neuropt.testing import ConformanceError, Report, check_optimizer, checks
from tests.testing.faults import FAULTS, STRICT_FAULTS
from tests.testing.faulty_steps import AnyKeyword, Ascent, MomentumReadOnce
from tests.testing.faulty_tensors import OtherWhenCompiled
from tests.testing.sound import Sound


def check(factory: Callable[..., Optimizer], *, strict: bool = False, backend: str | None = None) -> Report:
    return check_optimizer(factory, strict=strict, backend=backend, on_fail=None)


def failed(report: Report) -> tuple[str, ...]:
    return tuple(row.check for row in report.failures)


def statuses(report: Report) -> dict[str, str]:
    return {row.check: row.status for row in report.rows}


@pytest.mark.parametrize("strict", [False, True])
def test_a_sound_optimizer_passes_every_check(strict: bool) -> None:
    report = check_optimizer(Sound, strict=strict)
    assert set(statuses(report).values()) == {"passed"}
    assert [row.check for row in report.rows] == list(checks())


@pytest.mark.parametrize(("factory", "names"), FAULTS.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_fault_fails_its_own_checks_and_no_others(factory: Any, names: tuple[str, ...]) -> None:
    backend = "eager" if "compiled_step" in names else None
    assert failed(check(factory, backend=backend)) == names


@pytest.mark.parametrize(("factory", "names"), STRICT_FAULTS.items(), ids=lambda x: getattr(x, "__name__", ""))
def test_a_fault_of_torch_s_own_fails_where_strict_only(factory: Any, names: tuple[str, ...]) -> None:
    assert failed(check(factory, strict=True)) == names
    assert check(factory).passed


def test_every_check_is_failed_by_some_fault() -> None:
    assert {name for names in FAULTS.values() for name in names} == set(checks())


@pytest.mark.parametrize("factory", [torch.optim.Adam, torch.optim.SGD])
def test_torch_s_adam_and_sgd_pass(factory: Any) -> None:
    report = check_optimizer(factory)
    assert report
    applicable = {"foreach", "maximize", "differentiable", "tensor_lr", "momentum_cycling", "compiled_step"}
    assert {statuses(report)[name] for name in applicable} == {"passed"}


def test_what_a_constructor_does_not_declare_is_not_applicable_with_the_reason() -> None:
    reasons = {row.check: row.detail for row in check(torch.optim.Adam).rows if row.status == "not applicable"}
    assert reasons == {
        "float16_zero_gradients": "eps=1e-08 is 0 in float16, where 0 / 0 is NaN",
        "compiled_step": "left out: backend=None",
    }
    plain = check(partial(neuropt.create_optimizer, "g"))
    assert {row.check for row in plain.rows if row.status == "not applicable"} >= {"differentiable", "compiled_step"}
    no_momentum = check(torch.optim.Adagrad)
    assert statuses(no_momentum)["momentum_cycling"] == "not applicable"


FORMS: list[Any] = [
    lambda cls: cls,
    lambda cls: partial(cls, lr=0.02),
    lambda cls: lambda params: cls(params, lr=0.02),
    lambda cls: lambda params, lr=0.02: cls(params, lr=lr),
    lambda cls: lambda params, **hyper: cls(params, **hyper),
    lambda cls: lambda *arguments, **hyper: cls(*arguments, **hyper),
]


@pytest.mark.parametrize("form", FORMS, ids=["class", "partial", "fixed", "lr", "keywords", "anything"])
def test_a_factory_may_be_a_class_a_partial_or_a_function_with_or_without_keywords(form: Any) -> None:
    sound = check(form(Sound))
    assert statuses(sound) == dict.fromkeys(checks(), "passed") | {"compiled_step": "not applicable"}
    for fault in (AnyKeyword, MomentumReadOnce):
        assert failed(check(form(fault))) == FAULTS[fault]


def test_failures_raise_an_assertion_error_that_names_each() -> None:
    with pytest.raises(
        AssertionError, match=r"Ascent: .* 2 failed.*\n(.*\n)*  loss_goes_down: 50 steps on sum"
    ) as raised:
        check_optimizer(Ascent, backend=None)
    assert isinstance(raised.value, ConformanceError)
    assert failed(raised.value.report) == ("weight_decay", "loss_goes_down")
    report = check(Ascent)
    assert not report
    assert not report.passed
    with pytest.raises(ConformanceError):
        report.raise_for_failures()
    check(Sound).raise_for_failures()


def test_a_report_prints_a_row_a_check_and_a_summary() -> None:
    lines = str(check(Ascent)).splitlines()
    assert lines[0].split() == ["check", "status", "detail"]
    assert [line.split()[0] for line in lines[1:-1]] == list(checks())
    assert lines[-1] == "Ascent: 32 passed, 2 failed, 1 not applicable"


def test_an_exception_in_a_check_is_its_row_and_the_others_go_on() -> None:
    class Broken(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise ZeroDivisionError("no step\nat all")

    report = check(Broken)
    found = {row.check: row for row in report.rows}
    assert len(found) == len(checks())
    assert found["late_first_gradient"].detail == "raised ZeroDivisionError: no step at all"
    assert found["empty_parameters_refused"].status == "passed"


def test_a_factory_that_makes_no_optimizer_is_an_error_of_the_caller() -> None:
    with pytest.raises(
        TypeError, match=r"check_optimizer\(factory\) must be a class or function of parameters, but got 3"
    ):
        check_optimizer(3)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(TypeError, match=r"must make a torch.optim.Optimizer, but made \["):
        check_optimizer(list)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match=r"raised TypeError: .*'rule'; give what it needs: functools.partial"):
        check_optimizer(neuropt.RuleOptimizer)
    with pytest.raises(ValueError, match=r"on_fail=.* must be 'raise' or None, but got 'warn'"):
        check_optimizer(Sound, on_fail="warn")  # type: ignore[arg-type]  # on purpose


def test_checking_leaves_no_trace() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    with torch.no_grad():
        check(OtherWhenCompiled)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_is_found_from_the_package() -> None:
    assert neuropt.testing.check_optimizer is check_optimizer


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(neuropt.testing.__path__)])
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.testing.{module}")).failed == 0


def test_an_optimizer_that_needs_a_closure_is_one_clear_error() -> None:
    with pytest.raises(ValueError, match=r"LBFGS.step needs a closure"):
        check_optimizer(torch.optim.LBFGS)


class ItemInAHelper(torch.optim.Optimizer):
    """Adam whose count is read as a number in a function that `step` calls, where torch 2.13 mixes up two parameters when it compiles."""

    def __init__(self, params: Any, lr: float = 1e-3) -> None:
        if lr < 0:
            raise ValueError(f"lr must not be negative, but got {lr}")
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for w in group["params"]:
                    if w.grad is not None:
                        self.update(w, w.grad, group["lr"])
        return loss

    def update(self, w: torch.Tensor, g: torch.Tensor, lr: float) -> None:
        if g.is_sparse:
            raise RuntimeError("dense gradients only")
        state = self.state[w]
        if not state:
            state["step"], state["m"], state["v"] = torch.zeros(()), torch.zeros_like(w), torch.zeros_like(w)
        state["step"] += 1
        t = state["step"].item()
        state["m"].lerp_(g, 0.1)
        state["v"].mul_(0.999).add_(0.001 * (g * g.conj()).real if g.is_complex() else 0.001 * g * g)
        w.sub_(lr * state["m"] / (1 - 0.9**t) / ((state["v"] / (1 - 0.999**t)).sqrt() + 1e-3))


def test_a_bug_of_torch_s_compiler_is_not_held_against_an_optimizer() -> None:
    report = check(ItemInAHelper, backend="eager")
    assert statuses(report)["compiled_step"] != "failed", report
