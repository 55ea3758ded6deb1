from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings

from search_space import Equation, Rule, RuleError, expand, parse_expression, parse_rule, simplify
from search_space.expression import Call, Expression, Number, Symbol
from search_space.primitives import PRIMITIVES
from search_space.rule import MAX_DEPTH
from tests.search_space.random_rules import rules


@settings(max_examples=150, deadline=None)
@given(rules())
def test_printed_rules_read_back_equal(rule: Rule) -> None:
    assert parse_rule(rule.text) == rule


@settings(max_examples=80, deadline=None)
@given(rules())
def test_expanded_and_simplified_rules_read_back_equal(rule: Rule) -> None:
    for changed in (expand(rule), simplify(rule), simplify(expand(rule))):
        assert parse_rule(changed.text) == changed


@pytest.mark.parametrize("name", sorted(PRIMITIVES))
def test_every_primitive_reads_back(name: str) -> None:
    call = Call(name, tuple(Symbol(s) for s in ("g", "w", "t")[: PRIMITIVES[name].arity]))
    rule = Rule((), (Equation("u", call),))
    assert parse_rule(rule.text) == rule


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("g", "g"),
        ("u = g", "g"),
        ("g^2", "g ** 2"),
        ("-g^2", "-g ** 2"),
        ("(-g)^2", "(-g) ** 2"),
        ("2^-g", "2 ** (-g)"),
        ("g^w^t", "g ** w ** t"),
        ("(g - w) - t", "g - w - t"),
        ("g - (w - t)", "g - (w - t)"),
        ("g / (w / t)", "g / (w / t)"),
        ("(g < w) * g", "(g < w) * g"),
        ("-2", "-2"),
        ("-(2)", "-(2)"),
        ("1e-08 * g", "1e-08 * g"),
        ("b = 0.9\nu = b * g  # comment", "b = 0.9\nu = b * g"),
        ("a = g; u = prev(a, 1) + a", "a = g\nu = prev(a, 1) + a"),
    ],
)
def test_texts_and_their_printed_form(text: str, printed: str) -> None:
    assert parse_rule(text).text == printed


def test_product_binds_tighter_than_sum_and_power_tightest() -> None:
    g, two = Symbol("g"), Number(2.0)
    assert parse_expression("2 + 2 * g ** 2") == Call("+", (two, Call("*", (two, Call("**", (g, two))))))


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("g + foo", "'foo' is not defined above equation 'u'; known here:", "g + foo\n      ^"),
        ("g + ", "a number, a name or '(' was expected", "g + \n      ^"),
        ("exp(g", "')' was expected", "exp(g\n       ^"),
        ("clip(g)", "clip takes 2 arguments, but got 1", "clip(g)\n  ^"),
        ("foo(g)", "'foo' is not a function of the rule language; there are abs", "foo(g)\n  ^"),
        ("g < w < t", "comparisons do not chain", "g < w < t\n        ^"),
        ("g = 2 * w", "'g' cannot be defined: it is an input", "g = 2 * w\n  ^"),
        ("a = g; a = w; u = a", "'a' is defined twice", "a = g; a = w; u = a\n         ^"),
        ("a = g + 1", "the last equation of a rule must define the update: u = ...", "^"),
        ("b = a; a = g; u = b", "read prev(a), or move its equation up", "^"),
        ("u = prev(z)", "prev(z) reads an equation that does not exist", "^"),
        ("", "an update rule was expected", "^"),
        ("g ** 2 3", "an operator or the end of the line was expected", "^"),
        ("noise(0.1, 0.5)", "the number of a draw in noise must be a whole number", "^"),
        ("drop(g, 0.1, 0) + drop(g, 0.1, 0)", "draw 0 of 'drop' must be unlike all others", "^"),
    ],
)
def test_errors_say_what_and_where(text: str, message: str, caret: str) -> None:
    with pytest.raises(RuleError) as error:
        parse_rule(text)
    assert message in str(error.value)
    assert caret in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000_000,
        "(" * 20_000,
        "-" * 20_000 + "g",
        "exp(" * 5_000 + "g" + ")" * 5_000,
        "g" + "**g" * 5_000,
        "g" + "+g" * 20_000,
        "g\n" * 20_000,
        ";" * 40_000 + "g = ",
        "__import__('os').system('true')",
        "g.__class__",
        "g[0]",
        "lambda: g",
        "eval(g)",
        "print(g)",
        "open(g)",
        "prev(prev(u))",
        "prev(1)",
        "9" * 40_000,
        "9" * 400,
        "1e999",
        "g * 1e999",
        "nan",
        "inf",
        "g * nan",
        "0x10",
        "1_000 * g",
        "ｇ",
        "g * 𝟐",
        "ехр(g)",  # Cyrillic
        "g\u00a0* 2",
        "g\x00",
        "\x00",
        "g\u202e",
        "n" * 40_000 + " = 1; u = g",
        "n" * 65 + " * g",
        "u = g; u = g",
        "u = 2; u = 3",
        "\ud800",
        "g = g",
        "exp = g; u = g",
        "a = prev(a, 1e999); u = a",
        "prev(u, 1) + prev(u, 2)",
        "noise(0.1, 1e300)",
        "noise(0.1, -1)",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_hostile_texts_are_refused_within_seconds(text: str) -> None:
    start = time.process_time()  # a busy machine is no hostile text, though on shared cores it costs processor time too
    with pytest.raises(RuleError):
        parse_rule(text)
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("functions", [("exp",), ("neg",), ("+",), ("**",), ("<",), tuple(sorted(PRIMITIVES))])
@pytest.mark.parametrize("seed", range(20))
def test_the_deepest_rules_read_back(functions: tuple[str, ...], seed: int) -> None:
    chosen = random.Random(seed)
    expression: Expression = Symbol("g")
    for _ in range(MAX_DEPTH - 1):
        function = chosen.choice(functions)
        arguments: list[Expression] = [Number(-2.0)] * PRIMITIVES[function].arity
        arguments[chosen.randrange(len(arguments))] = expression
        expression = Call(function, tuple(arguments))
    rule = Rule((), (Equation("u", expression),))
    assert parse_rule(rule.text) == rule
    with pytest.raises(RuleError, match="nested deeper than 100"):
        Rule((), (Equation("u", Call("exp", (expression,))),))


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="text must be a str, but got bytes"):
        parse_rule(b"g")  # type: ignore[arg-type]
