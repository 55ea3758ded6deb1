"""The straight-line form of rules."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from neuropt.compiling.program import Instruction, Leaf, Program, compile_program, compile_text, equation_kinds
from search_space import Rule, draws, expand, parse_rule
from search_space.primitives import PRIMITIVES
from tests.compiling.comparison import differing, reference, rules


def functions(text: str) -> list[str]:
    return [instruction.function for instruction in compile_text(text).instructions]


def constants(program: Program) -> list[float]:
    return [leaf.number for leaf in program.leaves if leaf.source == "constant"]


def test_leaves_come_first_then_numbers_then_tensors() -> None:
    program = compile_text("beta = 0.9; m = beta * prev(m) + (1 - beta) * g; u = m / (1 - beta ** (t + 1))")
    assert program.numbers == 4
    assert all(instruction.kind == "number" for instruction in program.instructions[:4])
    assert all(instruction.kind == "tensor" for instruction in program.instructions[4:])
    for number, instruction in enumerate(program.instructions, len(program.leaves)):
        assert all(argument < number for argument in instruction.arguments)


def test_equal_subexpressions_are_one_value() -> None:
    assert functions("exp(g * w) + exp(w * g)") == ["*", "exp", "+"]


def test_a_difference_does_not_commute() -> None:
    assert functions("(g - w) * (w - g)").count("-") == 2


def test_two_draws_are_never_one() -> None:
    program = compile_text("noise(0.1) - noise(0.1)")
    assert [i.draw for i in program.instructions if i.function == "noise"] == [0, 1]


@pytest.mark.parametrize(
    ("text", "value"),
    [("g * (1 - 0.9)", 1 - 0.9), ("g + 1 / 0", math.inf), ("g * exp(1)", math.e), ("g * norm(3 - 5)", 2.0)],
)
def test_constants_are_folded(text: str, value: float) -> None:
    program = compile_text(text)
    assert len(program.instructions) == 1
    assert constants(program) == [value]


def test_folded_nan_is_one_constant() -> None:
    program = compile_text("g + (0 / 0) + w * (0 / 0)")
    assert [math.isnan(value) for value in constants(program)] == [True]


def test_zero_and_minus_zero_are_two_constants() -> None:
    assert len(constants(compile_text("g / 0 + w / -0.0"))) == 2


def test_hyperparameters_are_not_folded() -> None:
    assert functions("beta = 0.5; u = g * (1 - beta)") == ["-", "*"]


def test_what_the_update_does_not_need_is_left_out() -> None:
    program = compile_text("a = exp(g); b = prev(b) + prev(a); c = prev(c) * w; u = g + prev(c)")
    assert [value.name for value in program.remembered] == ["c"]
    assert functions("a = exp(g); b = prev(b) + prev(a); u = g") == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("m = ema(g, 0.9); u = m", {"m": "tensor"}),
        ("b = 0.9 * prev(b, 1); u = b * prev(b, 1) * g", {"b": "number"}),
        ("s = 0.9 * prev(s) + norm(g); u = g / s", {"s": "reduced"}),
        ("a = prev(b); b = prev(a) + t; u = a * g", {"a": "number", "b": "number"}),
        ("a = prev(b); b = prev(a) + mean(g); u = a * g", {"a": "reduced", "b": "reduced"}),
        ("a = prev(b); b = prev(a) + noise(0.1); u = a * g", {"a": "tensor", "b": "tensor"}),
        ("a = norm(prev(a) + t); u = a * g", {"a": "number"}),
    ],
)
def test_kinds_of_remembered_values(text: str, kinds: dict[str, str]) -> None:
    program = compile_text(text)
    assert {value.name: value.kind for value in program.remembered} == kinds
    found = equation_kinds(expand(parse_rule(text)))
    assert {name: found[name] for name in kinds} == kinds


def test_one_recurrence_under_two_names_is_remembered_once() -> None:
    program = compile_text("a = ema(g, 0.9); b = ema(g, 0.9); c = ema(g, 0.8); u = a + b + c")
    assert [value.name for value in program.remembered] == ["a", "c"]


def test_recurrences_of_recurrences_are_merged_too() -> None:
    program = compile_text("a = ema(g, 0.9); b = ema(g, 0.9); c = ema(a, 0.5); d = ema(b, 0.5); u = c + d")
    assert [value.name for value in program.remembered] == ["a", "c"]


def test_recurrences_from_two_starts_are_two() -> None:
    program = compile_text("a = prev(a) + g; b = prev(b, 1) + g; u = a + b")
    assert [(value.name, value.start) for value in program.remembered] == [("a", 0.0), ("b", 1.0)]


def test_recurrences_with_draws_of_their_own_are_two() -> None:
    program = compile_text("a = prev(a) + noise(1); b = prev(b) + noise(1); u = g + a + b")
    assert len(program.remembered) == 2


def test_last_use_says_when_memory_is_free() -> None:
    program = compile_text("m = 0.5 * prev(m) + g; u = exp(m) * g")
    (m,) = program.remembered
    numbers = {instruction.function: i for i, instruction in enumerate(program.instructions)}
    assert program.last_use[m.value] == program.last_use[program.result] == len(program.instructions)
    g = next(i for i, leaf in enumerate(program.leaves) if leaf.name == "g")
    assert program.last_use[g] == len(program.instructions) - 1
    assert program.last_use[len(program.leaves) + numbers["exp"]] == len(program.instructions) - 1


def test_properties() -> None:
    assert compile_text("g / norm(g)").pointwise is False
    assert compile_text("a = norm(g); u = g * norm(2)").pointwise is True  # dead, and a number
    assert compile_text("drop(g, 0.1)").deterministic is False
    assert compile_text("ld * g").reads("T")
    assert not compile_text("a = ld * g; u = g").reads("T")


@pytest.mark.parametrize("text", ["adam", "b = prev(b, 1) * 0.9; u = drop(g, 0.1) * b", "g"])
def test_a_program_pickles_as_its_text(text: str) -> None:
    program = compile_text(text)
    data = pickle.dumps(program)
    assert pickle.loads(data) == program
    assert len(data) < 300


def numpy_step(program: Program, given: dict[str, Any], state: dict[str, Any], t: int) -> tuple[Any, dict[str, Any]]:
    """Run a program with the numpy meaning of its instructions, and check the kinds that it claims."""
    values: list[Any] = []
    everything: tuple[Leaf | Instruction, ...] = (*program.leaves, *program.instructions)
    for value in everything:
        match value:
            case Leaf("previous", name):
                values.append(state[name])
            case Leaf("constant"):
                values.append(value.number)
            case Leaf():
                values.append(given[value.name])
            case Instruction(function, arguments, draw):
                drawn = []
                if draw is not None:
                    source = draws.normal if function == "noise" else draws.uniform
                    drawn = [source(given["g"].size, 3, 1, draw, t)]
                values.append(PRIMITIVES[function].numpy(*(values[a] for a in arguments), *drawn))
        assert np.size(values[-1]) in {"number": {1}, "reduced": {1}, "tensor": {given["g"].size}}[value.kind]
    return values[program.result], {r.name: values[r.value] for r in program.remembered}


@settings(max_examples=100, deadline=None)
@given(rules())
def test_a_program_computes_what_its_rule_means(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    interpreter = reference(rule, 5, decay_steps=3, seed=3, parameter=1)
    program = compile_program(rule)
    state: dict[str, Any] = {r.name: r.start for r in program.remembered}
    state |= {r.name: np.full(5, r.start) for r in program.remembered if r.kind == "tensor"}
    for t in range(3):
        g, w = rng.choice([0.0, 1.0, -1.0, 0.3, -1e-12, 1e3], (2, 5)) * rng.choice([1.0, 0.7], (2, 5))
        given = {"g": g, "w": w, "t": float(t), "T": 3.0, "lr": 0.01, "beta": 0.9}
        with np.errstate(all="ignore"):
            u, state = numpy_step(program, given, state, t)
        assert not len(differing(u, interpreter.step(g, w, 0.01)))
