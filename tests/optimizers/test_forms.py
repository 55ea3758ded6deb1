"""The three forms of hand-coded optimizers: the same numbers, one state, and what they refuse."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from neuropt.compiling.program import compile_text
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.compiling.signs import sign_powers
from neuropt.optimizers import (
    SGDW,
    SGDWR,
    AdaBound,
    AdamEpsHat,
    AdamWR,
    AddSign,
    AMSBound,
    Lion,
    LSTMOptimizer,
    PowerSign,
    RMSpropEpsInside,
    Yogi,
)
from neuropt.testing import check_optimizer
from search_space import zoo
from tests.compiling.comparison import TOLERANCE
from tests.compiling.compilers import needs_compiler

DECAY: dict[str, Any] = {"weight_decay": 0.1}
CASES: list[tuple[Any, dict[str, Any]]] = [
    (Lion, {}),
    (Lion, DECAY),
    (Yogi, DECAY),
    (AdaBound, {}),
    (AMSBound, DECAY),
    (SGDW, {"nesterov": True, "decay": "schedule"}),
    (SGDW, {"weight_decay": 0.0}),
    (SGDWR, {"T_0": 3, "T_mult": 2}),
    (SGDWR, {"T_0": 3, "nesterov": True}),
    (AdamWR, {"T_0": 7}),
    (AdamEpsHat, DECAY),
    (RMSpropEpsInside, {"centered": True, "momentum": 0.5, **DECAY}),
    (RMSpropEpsInside, {}),
    (PowerSign, {"sign_decay": "cosine", "decay_steps": 50, **DECAY}),
    (PowerSign, {}),
    (AddSign, {"sign_decay": "restart", "decay_steps": 50, "num_periods": 3}),
    (AddSign, {"sign_decay": "linear", "decay_steps": 50, **DECAY}),
]
CLASSES = list(dict.fromkeys(cls for cls, _ in CASES))
COMPILED_BY_DEFAULT: list[tuple[Any, dict[str, Any]]] = [CASES[1], CASES[3]]
EPSILON = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 2.0**-23, torch.float64: 2.0**-52}
CLOSE = 64
"""Units in the last place: a kernel multiplies by reciprocals, and computes half precision in single and not step by step in half."""


def of(cls: Any) -> dict[str, Any]:
    return next(hyper for known, hyper in CASES if known is cls)


def named(case: tuple[Any, dict[str, Any]]) -> str:
    return "-".join([case[0].__name__, *case[1]])


def in_turns(*values: Any) -> list[Any]:
    """All cases, each with one of the values, as they come in the list: every pair would be a compilation."""
    return [pytest.param(case, value, id=f"{named(case)}-{value}") for case, value in zip(CASES, cycle(values))]


def starts(dtype: torch.dtype) -> list[Tensor]:
    """Parameters of all shapes and layouts: a single element, none, flat, channels-last, transposed."""
    torch.manual_seed(0)
    made = [torch.randn(shape, dtype=dtype) for shape in [(3, 4), (7,), (), (0,), (1,), (90, 60)]]
    made += [
        torch.randn(4, 6, dtype=dtype).t(),
        torch.randn(2, 3, 4, 5, dtype=dtype).to(memory_format=torch.channels_last),
    ]
    return [x.requires_grad_() for x in made]


def parameters(optimizer: Optimizer) -> list[Tensor]:
    return [w for group in optimizer.param_groups for w in group["params"]]


def take_steps(optimizers: list[Any], steps: range, scale: float = 1.0) -> None:
    """Step all along the same gradients; some parameters get their first late, and pause."""
    for t in steps:
        for optimizer in optimizers:
            torch.manual_seed(t)
            for i, w in enumerate(parameters(optimizer)):
                g = torch.randn(w.shape, dtype=w.dtype) * scale
                w.grad = None if (i + t) % 4 == 0 else g
            optimizer.step()


def made(cls: Any, hyper: dict[str, Any], dtype: torch.dtype = torch.float32, **form: Any) -> Any:
    w = starts(dtype)
    groups: list[dict[str, Any]] = [{"params": w[:5]}, {"params": w[5:], "lr": 0.02}]
    return cls(groups, lr=0.01, **hyper, **form)


def everything(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for i, w in enumerate(parameters(optimizer)):
        yield f"w {i}", w.detach()
        yield from ((f"{name} {i}", x) for name, x in optimizer.state[w].items())


def assert_close(one: Optimizer, other: Optimizer, tolerance: float) -> None:
    """Within a tolerance relative to max(1, |x|): names, types and shapes too."""
    ours, theirs = dict(everything(one)), dict(everything(other))
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        y = theirs[name]
        assert (x.dtype, x.shape, x.stride()) == (y.dtype, y.shape, y.stride()), name
        assert bool(((x - y).abs() <= tolerance * x.abs().clamp(min=1.0)).all()), (name, x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.complex64], ids=str)
@pytest.mark.parametrize("case", CASES, ids=named)
def test_lists_equal_the_loop_to_the_last_bit(case: tuple[Any, dict[str, Any]], dtype: torch.dtype) -> None:
    loop, lists = made(*case, dtype), made(*case, dtype, foreach=True)
    take_steps([loop, lists], range(100 if dtype == torch.float32 else 10))
    assert_close(loop, lists, 0.0)


@needs_compiler
@pytest.mark.parametrize("case", COMPILED_BY_DEFAULT, ids=named)
def test_compiled_steps_equal_the_loop(case: tuple[Any, dict[str, Any]]) -> None:
    loop, fused = made(*case), made(*case, fused=True)
    take_steps([loop, fused], range(100), scale=0.1)
    assert_close(loop, fused, CLOSE * EPSILON[torch.float32])


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("case", "maximize"), in_turns(False, True))
def test_compiled_steps_of_every_class_equal_the_loop(case: tuple[Any, dict[str, Any]], maximize: bool) -> None:
    cls, hyper = case
    loop, fused = (made(cls, hyper | {"maximize": maximize}, torch.float64, fused=form) for form in (None, True))
    take_steps([loop, fused], range(100), scale=0.1)
    assert_close(loop, fused, TOLERANCE)  # a coupled decay feeds the rounding of w back into quotients


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("case", "dtype"), in_turns(torch.float16, torch.bfloat16))
def test_compiled_steps_in_half_precision_go_where_double_goes(
    case: tuple[Any, dict[str, Any]], dtype: torch.dtype
) -> None:
    """One step, whose rounding is that of the type; a sign or a quotient of small averages may turn after more."""
    fused, exact = made(*case, dtype, fused=True), made(*case, torch.float64)
    with torch.no_grad():
        for w, x in zip(parameters(fused), parameters(exact), strict=True):
            x.copy_(w)
    for optimizer in (fused, exact):
        for w in parameters(optimizer):
            w.grad = torch.full_like(w, 0.25)
        optimizer.step()
    for w, x in zip(parameters(fused), parameters(exact), strict=True):
        assert w.dtype == dtype
        torch.testing.assert_close(w.double(), x, rtol=4 * EPSILON[dtype], atol=4 * EPSILON[dtype])
        assert all(s.dtype == dtype for name, s in fused.state[w].items() if name != "step")


@needs_compiler
def test_complex_parameters_are_pairs_of_real_ones() -> None:
    loop, fused = made(Lion, DECAY, torch.complex64), made(Lion, DECAY, torch.complex64, fused=True)
    take_steps([loop, fused], range(5))
    assert_close(loop, fused, CLOSE * EPSILON[torch.float32])


@needs_compiler
@pytest.mark.parametrize(("source", "target"), [("fused", "loop"), ("loop", "fused"), ("foreach", "fused")])
def test_a_state_goes_on_in_another_form(source: str, target: str) -> None:
    forms: dict[str, dict[str, Any]] = {"loop": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    first, second = (made(Lion, DECAY, **forms[form]) for form in (source, target))
    take_steps([first], range(5))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        for w, x in zip(parameters(first), parameters(second), strict=True):
            x.copy_(w)
    assert [group["fused"] for group in second.param_groups] == [forms[target].get("fused")] * 2
    take_steps([first, second], range(5, 10))
    assert_close(first, second, CLOSE * EPSILON[torch.float32])


@pytest.mark.parametrize("cls", CLASSES)
def test_states_and_pickles_from_before_there_were_forms_load(cls: Any) -> None:
    old, new = made(cls, of(cls)), made(cls, of(cls), foreach=True)
    take_steps([old], range(3))
    saved = old.state_dict()
    for group in saved["param_groups"]:
        del group["foreach"], group["fused"]
    new.load_state_dict(saved)
    assert [group["foreach"] for group in new.param_groups] == [True, True]
    pickled = copy.deepcopy(old.__getstate__())
    for group in pickled["param_groups"]:
        del group["foreach"], group["fused"]
    again = cls.__new__(cls)
    again.__setstate__(pickled)
    take_steps([old, again], range(3, 6))
    assert_close(old, again, 0.0)


@needs_compiler
def test_schedules_and_cycled_momentum_compile_nothing_again() -> None:
    from torch._dynamo.utils import counters

    loop, fused = (cls_ for cls_ in (made(Lion, DECAY), made(Lion, DECAY, fused=True)))
    take_steps([loop, fused], range(2))
    schedules = [
        lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=40, base_momentum=0.8, max_momentum=0.95)
        for optimizer in (loop, fused)
    ]
    before = counters["stats"]["unique_graphs"]
    for t in range(2, 40):
        take_steps([loop, fused], range(t, t + 1), scale=0.1)
        for schedule, optimizer in zip(schedules, (loop, fused), strict=True):
            schedule.step()
            optimizer.param_groups[0]["weight_decay"] = 0.1 / t
    assert counters["stats"]["unique_graphs"] == before
    assert fused.param_groups[0]["betas"][0] != 0.9
    assert_close(loop, fused, CLOSE * EPSILON[torch.float32])


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"foreach": True, "fused": True}, r"\(foreach=True, fused=True\): only one"),
        ({"fused": True, "differentiable": True}, r"\(fused=True, differentiable=True\): only one"),
        ({"foreach": True, "differentiable": True}, r"\(foreach=True, differentiable=True\): only one"),
    ],
    ids=str,
)
def test_forms_that_exclude_each_other_are_refused(cls: Any, hyper: dict[str, Any], message: str) -> None:
    own = {name: value for name, value in of(cls).items() if name == "T_0"}
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match=f"{cls.__name__}{message}"):
        cls([w], **own, **hyper)
    with pytest.raises(ValueError, match=f"{cls.__name__}{message}"):
        cls([{"params": [w], **hyper}], **own)


@pytest.mark.parametrize("name", ["foreach", "fused"])
def test_a_form_is_true_false_or_none(name: str) -> None:
    form: dict[str, Any] = {name: True}
    with pytest.raises(TypeError, match=rf"Lion\({name}=...\) must be True, False or None, but got 1"):
        Lion([torch.ones(2, requires_grad=True)], **{name: cast(Any, 1)})
    with pytest.raises(TypeError, match=name):
        LSTMOptimizer([torch.ones(2, requires_grad=True)], **form)


@needs_compiler
@pytest.mark.parametrize("form", ["foreach", "fused"])
def test_sparse_gradients_take_the_loop_or_are_refused(form: str) -> None:
    hyper: dict[str, Any] = {form: True}
    one = PowerSign([torch.ones(4, 2, requires_grad=True)])
    other = PowerSign([torch.ones(4, 2, requires_grad=True)], **hyper)
    for optimizer in (one, other):
        (w,) = parameters(optimizer)
        w.grad = torch.eye(4)[:, :2].to_sparse_coo()
        optimizer.step()
    assert_close(one, other, 0.0)
    w = torch.ones(4, requires_grad=True)
    w.grad = torch.ones(4).to_sparse()
    lion = Lion([w], **hyper)
    with pytest.raises(RuntimeError, match="Lion needs dense gradients"):
        lion.step()


@needs_compiler
def test_a_parameter_that_is_listed_twice_takes_two_steps_in_every_form() -> None:
    """The rule has been compiled by other tests."""
    forms: list[dict[str, Any]] = [{}, {"foreach": True}, {"fused": True}]
    found = []
    for form in forms:
        for make in (Lion, partial(RuleOptimizer, rule=zoo()["adam"])):
            w = torch.full((300,), 2.0, requires_grad=True)
            with pytest.warns(UserWarning, match="duplicate parameters"):
                optimizer = make([w, w], lr=0.1, **form)
            for _ in range(2):
                w.grad = torch.ones(300)
                optimizer.step()
            found.append([float(w.detach()[0]), float(optimizer.state[w]["step"])])
    # both move by lr against a steady gradient: 2 - 4 * 0.1
    torch.testing.assert_close(torch.tensor(found), torch.tensor([[1.6, 4.0]] * 6))


@pytest.mark.parametrize("base", [2.0, 10.0])
def test_the_power_of_a_product_of_signs_is_a_selection(base: float) -> None:
    group = PowerSign([torch.ones(2, requires_grad=True)], base=base, **DECAY).param_groups[0]
    equations = "".join(f"{name} = 1\n" for name in PowerSign.numbers(1.0, group)) + PowerSign.rule(group)
    assert len(sign_powers(compile_text(equations))) == 1


@pytest.mark.parametrize("case", [(cls, of(cls)) for cls in CLASSES], ids=named)
def test_lists_pass_the_conformance_suite(case: tuple[Any, dict[str, Any]]) -> None:
    check_optimizer(_in_form(*case, "foreach"), strict=True, backend=None)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("case", [(cls, of(cls)) for cls in CLASSES], ids=named)
def test_compiled_steps_pass_the_conformance_suite(case: tuple[Any, dict[str, Any]]) -> None:
    check_optimizer(_in_form(*case, "fused"), strict=True, backend="eager")


def _in_form(cls: Any, hyper: dict[str, Any], form: str) -> Any:
    """Return a factory of one form, but for what excludes it."""

    def factory(params: Any, **given: Any) -> Optimizer:
        excluded = given.get("differentiable") or any(given.get(name) is not None for name in ("foreach", "fused"))
        made: Optimizer = cls(params, **{**hyper, **given, **({} if excluded else {form: True})})
        return made

    return factory
