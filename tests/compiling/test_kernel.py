"""What a compiler is given: graphs of whole steps, run here as they are, without compiling them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuropt.compiling.draws import normal, uniform
from neuropt.compiling.execution import Execution, evaluate_numbers
from neuropt.compiling.kernel import Kernel, reciprocal
from neuropt.compiling.kernel_primitives import KERNEL_PRIMITIVES, drawn
from neuropt.compiling.program import Program, compile_program, compile_text
from neuropt.compiling.signs import sign_powers
from search_space import Rule, zoo
from search_space.draws import keys
from search_space.primitives import PRIMITIVES
from tests.compiling.comparison import EDGES, assert_same, rules

CPU, SIZE = torch.device("cpu"), 37
GIVEN = {"t": 3.0, "T": 10.0, "lr": 0.5, "beta": 0.9}


def kernel(program: Program, maximize: bool = False) -> Kernel:
    return Kernel(program, torch.float64, torch.float64, CPU, maximize)


def test_every_primitive_has_a_row() -> None:
    assert KERNEL_PRIMITIVES.keys() == PRIMITIVES.keys()


@pytest.mark.parametrize("name", sorted(PRIMITIVES.keys() - {"mod"}))
def test_a_row_equals_numpy_at_the_edges(name: str) -> None:
    row = PRIMITIVES[name]
    arguments = np.array(list(itertools.product(EDGES, repeat=row.arity + (row.kind == "drawing")))).T
    with np.errstate(all="ignore"):
        expected = row.numpy(*arguments)
    assert_same(KERNEL_PRIMITIVES[name](*torch.tensor(arguments)).numpy(), expected, name)


def test_mod_has_the_sign_of_the_divisor() -> None:
    # 7 mod 3 = 1, -7 mod 3 = 2, 7 mod -3 = -2, -7 mod -3 = -1
    x, y = torch.tensor([7.0, -7.0, 7.0, -7.0]), torch.tensor([3.0, 3.0, -3.0, -3.0])
    assert KERNEL_PRIMITIVES["mod"](x, y).tolist() == [1.0, 2.0, -2.0, -1.0]


@pytest.mark.parametrize("function", ["noise", "drop"])
def test_draws_are_those_of_every_other_form(function: str) -> None:
    streams = 2 if function == "noise" else 1
    given_keys = torch.tensor([key for stream in range(streams) for key in keys(2**40 + 3, 5, 1, 7, stream)])
    expected = (normal if function == "noise" else uniform)(1000, 2**40 + 3, 5, 1, 7)
    assert torch.equal(drawn(function, torch.arange(1000), given_keys.unbind()), expected)


def one_step(program: Program, maximize: bool = False, scale: float = 1.0) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a step of the graph writes and what the loop over instructions returns, on the same values."""
    generator = torch.Generator().manual_seed(0)
    g, w = (torch.randn(2, SIZE, generator=generator, dtype=torch.float64) * scale).unbind()
    execution, made = Execution(program), kernel(program, maximize)
    state = execution.start(w)
    for name, x in state.items():
        state[name] = x + torch.rand(x.shape, generator=generator).double() if isinstance(x, Tensor) else x
    given_values = GIVEN | dict(program.rule.hyperparameters)
    numbers = evaluate_numbers(program, given_values, state)
    got = {name: state[name].clone() for name in made.tensors}  # type: ignore[union-attr]  # these are tensors
    got["w"] = w.clone()
    arguments = [got["w"], g, made.numbers(0.5, numbers), made.keys(1, 2, 3), *(got[name] for name in made.tensors)]
    made.graph()(*arguments)
    draws: dict[str, Callable[..., Tensor]] = {"noise": normal, "drop": uniform}
    u, kept = execution.step(
        -g if maximize else g, w, numbers, state, lambda function, draw: draws[function](SIZE, 1, 2, draw, 3)
    )
    expected = {"w": w - 0.5 * u} | {name: kept[name] for name in made.tensors}
    return got, expected


def assert_steps_equal(program: Program, **options: Any) -> None:
    got, expected = one_step(program, **options)
    for name, value in got.items():
        assert_same(value.numpy(), expected[name].numpy(), f"{program.rule.text}: {name}")


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("name", zoo())
def test_the_graph_of_a_zoo_rule_is_its_step(name: str, maximize: bool) -> None:
    assert_steps_equal(compile_program(zoo()[name]), maximize=maximize)


@settings(max_examples=100, deadline=None)
@given(rules())
def test_the_graph_of_a_random_rule_is_its_step(rule: Rule) -> None:
    program = compile_program(rule)
    # a power or a quotient by a number may have another last bit, which these would magnify
    magnified = {"sign", "mod", "<", "<=", ">", ">=", "==", "!=", "where"}
    others = bool(sign_powers(program)) or bool(kernel(program).divisors)
    assume(not (others and magnified & {i.function for i in program.instructions}))
    got, expected = one_step(program)
    assume(all(bool((x.abs() < 1e6).all()) for x in expected.values()))
    for name, value in got.items():
        assert_same(value.numpy(), expected[name].numpy(), f"{rule.text}: {name}")


@pytest.mark.parametrize(
    "rule",
    [
        "1e-3",
        "t * lr + 0.5",
        "norm(g)",
        "d = g; u = g - prev(d)",
        "m = w; u = prev(m)",
        "a = g * prev(b); b = prev(a); u = b",
    ],
)
def test_results_that_are_no_new_tensor(rule: str) -> None:
    assert_steps_equal(compile_text(rule))


POWERS = {
    "base = 2; u = base ** (sign(g) * sign(w)) * g": 1,
    "exp(sign(g)*sign(w)) * exp(-0.5 * sign(g))": 2,
    "base = 2; u = base ** (ld * -sign(g) * (t * sign(w)))": 1,
    "exp(sign(g) + sign(w))": 0,
    "exp(sign(g) * w)": 0,
    "w ** (sign(g) * sign(w))": 0,
    "exp(t)": 0,
}


@pytest.mark.parametrize("rule", POWERS)
def test_powers_of_products_of_signs_are_selections(rule: str) -> None:
    program = compile_text(rule)
    assert len(sign_powers(program)) == POWERS[rule]
    assert_steps_equal(program)


def test_selections_keep_zeros_nan_and_what_products_lose() -> None:
    """At each: 1e-300 * 1e-300 underflows to 0 and 0 * inf is NaN, but the products of their signs are 1 and 0."""
    program = compile_text("base = 2; u = base ** (sign(g) * sign(w))")
    made = kernel(program)
    g = torch.tensor([1e-300, 0.0, -0.0, math.nan, -3.0], dtype=torch.float64)
    w = torch.tensor([1e-300, math.inf, 5.0, 1.0, 4.0], dtype=torch.float64)
    x = w.clone()
    made.graph()(x, g, made.numbers(1.0, evaluate_numbers(program, GIVEN | {"base": 2.0}, {})), None)
    assert_same((w - x)[[2, 4]].numpy(), [1.0, 0.5])  # w - u is inf - 1 at the second, and its u is lost
    assert x[0] == -2.0
    assert x[1] == math.inf
    assert x[3].isnan()


ULP = np.finfo(np.float64).eps


@given(st.floats(1e-300, 1e300), st.floats(-1e100, 1e100))
def test_a_product_with_reciprocals_is_a_quotient(number: float, x: float) -> None:
    mantissa, power = reciprocal(number)
    assert math.frexp(power)[0] == 0.5
    assume(x == 0 or abs(x) > 1e-290)  # less may become subnormal on the way
    with np.errstate(all="ignore"):
        quotient = np.float64(x) / number
    assume(quotient == 0 or 1e-300 < abs(quotient) < 1e300)
    assert abs(x * mantissa * power - quotient) <= 2 * ULP * abs(quotient)


@pytest.mark.parametrize("number", [0.0, math.inf, -math.inf, math.nan])
def test_reciprocals_of_edges(number: float) -> None:
    mantissa, power = reciprocal(number)
    with np.errstate(all="ignore"):
        expected = np.array(EDGES) / number
        assert_same(np.array(EDGES) * mantissa * power, expected)
