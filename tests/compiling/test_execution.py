"""Programs on torch tensors, operation by operation and as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from neuropt.compiling.draws import drawn_like
from neuropt.compiling.execution import Draw, Execution, evaluate_numbers
from neuropt.compiling.program import Instruction, Leaf, Program, compile_program, compile_text
from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES
from search_space import Rule, load_space
from search_space.primitives import PRIMITIVES
from tests.compiling.comparison import differing, rules
from tests.search_space.random_rules import strings

EXTENDED = load_space("extended")
SIZE = 37  # neither a multiple of a vector register nor a single one


def inputs(step: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(step)
    values = [0.0, 1.0, -1.0, 0.3, -1e-12, 1e3, -2.0]
    g, w = rng.choice(values, (2, SIZE)) * rng.choice([1.0, 0.7, 0.01], (2, SIZE))
    return g, w


def cancellation(function: str, arguments: list[Any]) -> float:
    """How large the terms of a sum are: in another order it differs by as many ulps of them."""
    if PRIMITIVES[function].kind != "reducing":
        return 0.0
    x, y = arguments if len(arguments) == 2 else (arguments[0], 1.0)
    return float(np.sum(np.abs(np.asarray(x) * np.asarray(y))))


def assert_operations_equal_numpys(
    program: Program, given_values: dict[str, Any], state: dict[str, Any], t: int
) -> dict[str, Any]:
    """Give every torch operation the inputs that numpy has, and compare the results."""
    values: list[Any] = []
    for value in (*program.leaves, *program.instructions):
        match value:
            case Leaf("previous", name):
                values.append(state[name])
            case Leaf("constant"):
                values.append(value.number)
            case Leaf():
                values.append(given_values[value.name])
            case Instruction(function, arguments, draw):
                read = [values[argument] for argument in arguments]
                if draw is not None:
                    read.append(drawn_like(torch.from_numpy(given_values["g"]), function, 3, 1, draw, t).numpy())
                result = PRIMITIVES[function].numpy(*read)
                values.append(result)
                tensors = [torch.from_numpy(x) if isinstance(x, np.ndarray) else float(x) for x in read]
                scale = cancellation(function, read)
                if any(isinstance(x, Tensor) for x in tensors) and np.isfinite(scale):
                    got = TORCH_PRIMITIVES[function].function(*tensors)
                    places = differing(got.numpy(), result, scale)
                    assert function == "mod" or not len(places), (function, read, got, result)
    return {r.name: values[r.value] for r in program.remembered}


@settings(max_examples=150, deadline=None)
@given(rules())
def test_every_operation_of_a_random_rule_equals_numpys(rule: Rule) -> None:
    assert_steps_equal_numpys(rule)


@settings(max_examples=100, deadline=None)
@given(strings(EXTENDED))
def test_every_operation_of_a_random_rule_of_the_wider_space_equals_numpys(tokens: tuple[int, ...]) -> None:
    assert_steps_equal_numpys(EXTENDED.decode(tokens))


def assert_steps_equal_numpys(rule: Rule) -> None:
    program = compile_program(rule)
    state: dict[str, Any] = {r.name: r.start for r in program.remembered}
    state |= {r.name: np.full(SIZE, r.start) for r in program.remembered if r.kind == "tensor"}
    for t in range(2):
        g, w = inputs(t)
        given_values = {"g": g, "w": w, "t": float(t), "T": 3.0, "lr": 0.01, "beta": 0.9}
        with np.errstate(all="ignore"):
            state = assert_operations_equal_numpys(program, given_values, state, t)


def plain_step(
    program: Program, g: Tensor, w: Tensor, numbers: list[Any], state: dict[str, Any], t: int
) -> tuple[Any, dict[str, Any]]:
    """Run a program without reusing any memory."""
    values = list(numbers)
    for number, leaf in enumerate(program.leaves):
        if leaf.kind != "number":
            values[number] = {"g": g, "w": w}[leaf.name] if leaf.source == "input" else state[leaf.name]
    for number, instruction in enumerate(program.instructions, len(program.leaves)):
        if instruction.kind != "number":
            read = [values[argument] for argument in instruction.arguments]
            if instruction.draw is not None:
                read.append(drawn_like(g, instruction.function, 3, 1, instruction.draw, t))
            values[number] = TORCH_PRIMITIVES[instruction.function].function(*read)
    return values[program.result], {r.name: values[r.value] for r in program.remembered}


def drawing(g: Tensor, t: int) -> Draw:
    return lambda function, draw: drawn_like(g, function, 3, 1, draw, t)


@settings(max_examples=150, deadline=None)
@given(rules())
def test_reusing_memory_changes_nothing(rule: Rule) -> None:
    assert_memory_is_reused_without_harm(rule)


@settings(max_examples=60, deadline=None)
@given(strings(EXTENDED))
def test_reusing_memory_changes_nothing_in_the_wider_space(tokens: tuple[int, ...]) -> None:
    assert_memory_is_reused_without_harm(EXTENDED.decode(tokens))


def assert_memory_is_reused_without_harm(rule: Rule) -> None:
    program = compile_program(rule)
    execution = Execution(program)
    state = execution.start(torch.zeros(SIZE, dtype=torch.float64))
    plain: dict[str, Any] = {n: x.clone() if isinstance(x, Tensor) else x for n, x in state.items()}
    for t in range(3):
        g, w = (torch.from_numpy(x) for x in inputs(t))
        before = g.clone(), w.clone()
        numbers = execution.numbers({"t": float(t), "T": 3.0, "lr": 0.01, "beta": 0.9}, state)
        expected, plain = plain_step(program, g, w, numbers, plain, t)
        u, state = execution.step(g, w, numbers, state, drawing(g, t))
        assert u.shape == g.shape
        assert not len(differing(u.numpy(), np.broadcast_to(np.asarray(expected), SIZE)))
        assert torch.equal(g, before[0])
        assert torch.equal(w, before[1])
        for name, value in state.items():
            assert not len(differing(np.asarray(value), np.asarray(plain[name])))


def test_what_is_remembered_stays_where_it_was() -> None:
    execution = Execution(compile_text("m = 0.9 * prev(m) + 0.1 * g; u = sign(m) * g"))
    g = torch.tensor([1.0, -1.0])
    state = execution.start(g)
    place = state["m"]
    _, state = execution.step(g, g, execution.numbers({}, {}), state)
    assert state["m"] is place


@pytest.mark.parametrize(
    "text", ["x = g; u = g - prev(x)", "x = w; u = g + prev(x)", "x = g * 1; y = x; u = prev(x) - prev(y, 1)"]
)
def test_remembered_values_share_memory_with_nothing(text: str) -> None:
    execution = Execution(compile_text(text))
    g, w = torch.ones(3), torch.zeros(3)
    u, state = execution.step(g, w, execution.numbers({}, {}), execution.start(w))
    tensors = [g, w, *(x for x in state.values() if isinstance(x, Tensor))]
    assert len({x.data_ptr() for x in tensors}) == len(tensors)
    assert u.shape == (3,)


def test_numbers_of_many_members_at_once() -> None:
    program = compile_text("beta = 0.9; b = beta * prev(b, 1); u = g * b / (1 - beta ** (t + 1)) * norm(beta)")
    betas = np.array([[0.5], [0.9], [0.0]])
    rows = evaluate_numbers(program, {"beta": betas, "t": 1.0}, {"b": np.ones((3, 1))})
    for row, beta in enumerate(betas[:, 0]):
        alone = evaluate_numbers(program, {"beta": float(beta), "t": 1.0}, {"b": 1.0})
        for several, one in zip(rows, alone, strict=True):
            if one is not None:
                assert np.ravel(several)[row if np.size(several) == 3 else 0] == one


def test_rows_are_steps_of_their_own() -> None:
    program = compile_text("s = 0.9 * prev(s) + norm(g); m = ema(g, 0.5); u = m / s")
    execution = Execution(program)
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 5)))
    together, _ = execution.step(rows, rows, execution.numbers({}, {}), execution.start(rows))
    for row, expected in zip(rows, together, strict=True):
        alone, _ = execution.step(row, row, execution.numbers({}, {}), execution.start(row))
        torch.testing.assert_close(alone, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "text", ["min(g, 1e39)", "g * 2 ** (1000 * (t + 1))", "clip(g, exp(100 + t))", "where(g > 1e39, 1e39, g)"]
)
def test_numbers_that_float32_cannot_hold_are_infinite(text: str) -> None:
    execution = Execution(compile_text(text))
    g = torch.tensor([1.0, -2.0])
    u, _ = execution.step(g, g, execution.numbers({"t": 0.0}, {}), {})
    assert u.dtype == torch.float32
