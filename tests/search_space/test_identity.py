from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings

from search_space import Rule, expand, functional_key, identify, negate, parse_rule, same_rule, simplify, zoo
from search_space.graph import order, rule_graph
from search_space.probes import probe_values
from tests.search_space.random_rules import rules

# one update up to a positive factor
EQUAL = [
    ("g", "2 * g"),
    ("g", "g * 1e6"),
    ("g", "1e-7 * g"),
    ("g", "g / 3"),
    ("g", "g + g"),
    ("g", "g + g + g"),
    ("g", "--g"),
    ("g", "w + g - w - (g - g)"),
    ("g", "g * g * g / (g * g + (g == 0))"),
    ("g", "sign(g) * abs(g)"),
    ("g", "g * exp(0.5)"),
    ("g", "clip(g, 1e9)"),
    ("g", "where(g < 0, g, g)"),
    ("g", "drop(g, 0)"),
    ("g", "min(g, 0) + max(g, 0)"),
    ("g", "(g + w) * (g + w) / (g + w) - w"),
    ("m", "ema(g, 0.9)"),
    ("m", "beta = 0.9; a = beta * prev(a) + (1 - beta) * g; u = a"),
    ("m", "a = 0.9 * prev(a) + g; u = a"),
    ("m", "a = prev(a) + 0.1 * (g - prev(a)); u = a"),
    ("m", "d = g - prev(a); a = prev(a) + 0.1 * d; u = a"),
    ("m", "mhat * (1 - 0.9 ** (t + 1))"),
    ("mhat", "m / (1 - 0.9 ** (t + 1))"),
    ("mhat", "debiased(g, 0.9)"),
    ("mhat", "n = prev(n) + 1; u = m / (1 - 0.9 ** n)"),
    ("mhat", "p = 0.9 * prev(p, 1); u = m / (1 - p)"),
    ("adam", "mhat / (sqrt(vhat) + 1e-8)"),
    ("adam", "0.001 * mhat / (1e-8 + sqrt(vhat))"),
    ("adam", "mhat / (vhat ** 0.5 + 1e-8)"),
    ("rmsprop", "g / (sqrt(ema(g ** 2, 0.9)) + 1e-8)"),
    ("rmsprop", "g / (sqrt(ema(g * g, 0.9)) + 1e-8)"),
    ("sign(g)", "sign(sign(g))"),
    ("sign(g)", "sign(5 * g)"),
    ("sign(g)", "sign(g ** 3)"),
    ("sign(g)", "sign(clip(g, 1e-5))"),
    ("sign(g)", "sign(g) * sign(g) * sign(g)"),
    ("sign(g)", "(g > 0) - (g < 0)"),
    ("sign(m)", "sign(mhat)"),
    ("sign(m)", "sign(ema(2 * g, 0.9))"),
    ("clip(g, 1e-3)", "clip(2 * g, 2e-3)"),
    ("clip(g, 1e-3)", "clamp(g, -1e-3, 1e-3)"),
    ("clip(g, 1e-3)", "clip(clip(g, 1e-3), 1e-2)"),
    ("clip(g, 1e-3)", "min(max(g, -1e-3), 1e-3)"),
    ("exp(g) * exp(w)", "exp(g + w)"),
    ("exp(sign(g) * sign(m)) * g", "g * 2.718281828459045 ** (sign(m) * sign(g))"),
    ("exp(-g) * g", "g / exp(g)"),
    ("exp(g) * g", "exp(g + 1) * g"),
    ("exp(log_abs(g)) * sign(g) * (abs(g) > 1e-12)", "g"),
    ("log_abs(g)", "log(max(abs(g), 1e-12))"),
    ("log_abs(g)", "log_abs(-g)"),
    ("pow_abs(g, 2)", "g ** 2"),
    ("pow_abs(g, 0.5)", "sqrt(abs(g))"),
    ("abs(g)", "sqrt(g ** 2)"),
    ("g ** 3", "g * g * g"),
    ("g / w", "g * (1 / w)"),
    ("(g + w) ** 2", "g ** 2 + 2 * g * w + w ** 2"),
    ("g * w + g * m", "g * (w + m)"),
    ("g + 1e-4 * w", "10 * (0.1 * g + 1e-5 * w)"),
    ("ld * g", "(1 - min(t, T) / T) * g"),
    ("cd * g", "cd(0.5) * g"),
    ("cd(1) * g", "(1 + cos(2 * 3.141592653589793 * min(t, T) / T)) * g"),
    ("rd(1) * g", "rd * g"),
    ("noise(0.1) + g", "g + noise(0.1)"),
    ("noise(0.2) * g", "noise(0.1) * g"),
    ("g * noise(0.1) + w * drop(g, 0.3)", "drop(g, 0.3) * w + noise(0.1) * g"),
    ("drop(g, 0.1) + drop(w, 0.3)", "drop(w, 0.3) + drop(g, 0.1)"),
    ("drop(g, 0.3) + drop(w, 0.3)", "drop(w, 0.3) + drop(g, 0.3)"),
    ("noise(0.1) * g + noise(0.2) * w", "w * noise(0.2) + g * noise(0.1)"),
    ("drop(2 * g, 0.3)", "drop(g, 0.3)"),
    ("tanh(g)", "-tanh(-g)"),
    ("norm(g) * g", "sqrt(dot(g, g)) * g"),
    ("g / norm(g)", "2 * g / norm(2 * g)"),
    ("prev(u) * 0.9 + g", "a = g + 0.9 * prev(a); u = a * 3"),
    ("a = prev(b) + g; b = 0.5 * prev(a); u = a", "y = 0.5 * prev(x); x = prev(y) + g; u = x"),
    ("cumsum(g ** 2) * g", "s = prev(s) + g * g; u = g * s"),
    ("lr * g / lr", "g"),
    ("cumsum(g, 0.9)", "m"),
    ("cumsum(g, 1)", "cumsum(g)"),
    ("cummax(abs(g), 0.9)", "n = max(0.9 * prev(n), abs(g)); u = n"),
    ("g - delay(g)", "d = g * 1; u = d - prev(d)"),
    ("delay(m)", "prev(m)"),
    ("g + 0.9 * prev(u)", "cumsum(g, 0.9)"),
]

# different updates, also after their learning rates are tuned
DIFFERENT = [
    ("g", "-g"),
    ("g", "m"),
    ("g", "sign(g)"),
    ("g", "abs(g)"),
    ("g", "g ** 3"),
    ("g", "g + 1e-4 * w"),
    ("g", "lr * g"),
    ("g", "t * g"),
    ("g", "(1 + 1e-3 * t) * g"),
    ("g", "drop(g, 0.1)"),
    ("g", "g + noise(0.1)"),
    ("g", "g * noise(0.1)"),
    ("g", "ld * g"),
    ("g", "g / norm(g)"),
    ("g", "clip(g, 1)"),
    ("g", "g + 1e-7"),
    ("m", "mhat"),
    ("m", "sign(m)"),
    ("m", "ema(g, 0.99)"),
    ("m", "ema(g, 0.91)"),
    ("m", "ema(m, 0.9)"),
    ("ema(g, 0.999)", "ema(g, 0.9999)"),
    ("adam", "rmsprop"),
    ("adam", "mhat / (sqrt(vhat) + 1e-7)"),
    ("adam", "mhat / sqrt(vhat + 1e-8)"),
    ("adam", "m / (sqrt(v) + 1e-8)"),
    ("adam", "adam + 1e-2 * w"),
    ("adam + 1e-2 * w", "adam + 1e-1 * w"),
    ("clip(g, 1e-3)", "clip(g, 1e-4)"),
    ("clip(g, 1e-4)", "clip(g, 1e-5)"),
    ("clip(g, 1e-5)", "sign(g)"),
    ("clip(g, 1e-3)", "clip(2 * g, 1e-3)"),
    ("clip(g, 1e-3)", "clip(m, 1e-3)"),
    ("drop(g, 0.1)", "drop(g, 0.3)"),
    ("drop(g, 0.3)", "drop(g, 0.5)"),
    ("drop(g, 0.3)", "drop(m, 0.3)"),
    ("drop(g, 0.3)", "drop(g, 0.3) + drop(g, 0.3)"),
    ("drop(g, 0.3) * drop(g, 0.3)", "a = drop(g, 0.3); u = a * a"),
    ("noise(0.1) + g", "noise(0.2) + g"),
    ("noise(0.1) + noise(0.1)", "noise(0.1)"),
    ("noise(0.1)", "noise((1 + t) ** -0.275)"),
    ("g + 1e-3 * w", "g + 1e-4 * w"),
    ("g + 1e-4 * w", "g - 1e-4 * w"),
    ("exp(g)", "1 + g + g ** 2 / 2"),
    ("exp(g)", "1 + g"),
    ("exp(g)", "exp(2 * g)"),
    ("exp(g) * g", "exp(m) * g"),
    ("exp(sign(g) * sign(m)) * g", "exp(sign(g) * sign(w)) * g"),
    ("exp(sign(g) * sign(m)) * g", "2 ** (sign(g) * sign(m)) * g"),
    ("exp(sign(g) * sign(m)) * g", "(1 + sign(g) * sign(m)) * g"),
    ("log_abs(g)", "log_abs(2 * g)"),
    ("tanh(g)", "g"),
    ("ld * g", "cd * g"),
    ("cd * g", "cd(1) * g"),
    ("cd * g", "rd * g"),
    ("cd(1) * g", "cd(2) * g"),
    ("rd * g", "rd(2) * g"),
    ("ld * g", "ld * m"),
    ("gamma", "m"),
    ("gammahat", "gamma"),
    ("vhat * g", "v * g"),
    ("g / (w + 1e-8)", "g / (abs(w) + 1e-8)"),
    ("g / (m + 1e-8)", "m / (g + 1e-8)"),
    ("g ** 2", "g * m"),
    ("cumsum(g)", "ema(g, 0.9)"),
    ("cummax(abs(g))", "abs(g)"),
    ("prev(u) + g", "0.99 * prev(u) + g"),
    ("a = g + 0; u = prev(a)", "g"),
    ("a = prev(a) + g; u = a", "a = prev(a, 1) + g; u = a"),
    ("norm(g)", "mean(g)"),
    ("g / norm(g)", "g / norm(w)"),
    ("max(g, 0)", "min(g, 0)"),
    ("where(g * m > 0, g, 0)", "where(g * w > 0, g, 0)"),
    ("1 / g", "1 / (g + 1e-8)"),
    ("1", "2 * t"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal_pairs_are_recognised(a: str, b: str) -> None:
    assert same_rule(parse_rule(a), parse_rule(b))


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_near_misses_are_kept_apart(a: str, b: str) -> None:
    first, second = identify(parse_rule(a)), identify(parse_rule(b))
    assert first.positive != second.positive
    assert first.structural != second.structural


@pytest.mark.parametrize(("a", "b"), [pair for pair in DIFFERENT if pair != ("g", "-g")])
def test_near_misses_are_no_negatives_of_each_other(a: str, b: str) -> None:
    assert identify(parse_rule(a)).either != identify(parse_rule(b)).either


@pytest.mark.parametrize("name", sorted(zoo()))
def test_negatives_differ_but_for_the_sign(name: str) -> None:
    rule, opposite = identify(zoo()[name]), identify(negate(zoo()[name]))
    assert rule.positive != opposite.positive
    assert rule.either == opposite.either


def test_known_rules_are_distinct() -> None:
    keys = {name: functional_key(rule) for name, rule in zoo().items()}
    assert keys.pop("bello-04") == keys["powersign"]  # its sign(mhat) is sign(m)
    assert len(set(keys.values())) == len(keys)


def test_exact_keys_see_factors_and_structural_keys_see_form() -> None:
    g, twice, sum_ = (identify(parse_rule(text)) for text in ("g", "2 * g", "g + w - w"))
    assert g.exact != twice.exact
    assert g.exact == sum_.exact
    assert g.structural != sum_.structural
    assert identify(parse_rule("g * 2 * 1")).structural == twice.structural


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("g * w", "w * g"),
        ("m", "ema(g, 0.9)"),
        ("b = 0.9; u = b * g", "0.9 * g"),
        ("m", "mine = 0.9 * prev(mine) + (1 - 0.9) * g; u = mine"),
        ("drop(g, 0.1) * noise(1)", "noise(1) * drop(g, 0.1)"),
        ("drop(g, 0.1, 5)", "drop(g, 0.1, 2)"),
        ("a = g * w; u = a + exp(a)", "exp(w * g) + g * w"),
        ("adam", "mhat / (sqrt(vhat) + 1e-8)"),
    ],
)
def test_one_graph_whatever_the_names_and_the_order(a: str, b: str) -> None:
    assert identify(parse_rule(a)).structural == identify(parse_rule(b)).structural


@settings(max_examples=80, deadline=None)
@given(rules())
def test_expanding_and_simplifying_keep_the_structural_key(rule: Rule) -> None:
    key = identify(rule).structural
    assert identify(simplify(rule)).structural == key
    assert identify(Rule(rule.hyperparameters, expand(rule).equations)).exact == identify(rule).exact


def test_rules_without_numbers_have_keys() -> None:
    nan, inf, minus = (identify(parse_rule(text)) for text in ("log(-1 - g * g)", "1 / (g - g)", "-1 / (g * g * 0)"))
    assert len({nan.positive, inf.positive, minus.positive}) == 3
    assert identify(parse_rule("exp(g * 1e9)")).positive != identify(parse_rule("-exp(g * 1e9)")).positive
    assert identify(parse_rule("exp(g ** 3)")).positive == identify(parse_rule("1000 * exp(g ** 3)")).positive
    assert identify(parse_rule("exp(g ** 3)")).either == identify(parse_rule("-exp(g ** 3)")).either


def test_keys_are_the_same_in_another_process() -> None:
    code = "from search_space import *; i = identify(zoo()['bello-09']); print(i.structural, i.either)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    here = identify(zoo()["bello-09"])
    assert output == [here.structural, here.either]


def test_doubling_chains_do_not_explode() -> None:
    lines = ["a0 = g", *(f"a{i} = a{i - 1} * a{i - 1} + {i}" for i in range(1, 400)), "u = a399"]
    assert identify(parse_rule("\n".join(lines))).structural


@pytest.mark.parametrize(
    ("text", "shorter"),
    [
        ("sqrt(abs(g ** 2)) * g", "sqrt(g ** 2) * g"),
        ("abs(v) * g", "v * g"),
        ("abs(vhat) * g", "vhat * g"),
        ("abs(cummax(v) / (1 - 0.999 ** (t + 1))) * g", "cummax(v) / (1 - 0.999 ** (t + 1)) * g"),
        ("abs(delay(cumsum(norm(g) * g ** 2, 0.9))) * g", "delay(cumsum(norm(g) * g ** 2, 0.9)) * g"),
    ],
)
def test_what_is_never_negative_is_its_size(text: str, shorter: str) -> None:
    assert identify(parse_rule(text)).structural == identify(parse_rule(shorter)).structural


@pytest.mark.parametrize(
    "text",
    ["m", "g ** 3", "v - 1", "cummax(g)", "a = prev(a) * g; u = a", "prev(u, -1) + abs(g)", "1 - 2 ** (t + 1)", "lr"],
)
def test_what_may_be_negative_keeps_its_size(text: str) -> None:
    assert not rule_graph(parse_rule(text)).never_negative


@settings(max_examples=200, deadline=None)
@given(rules())
def test_no_value_that_is_never_negative_is(rule: Rule) -> None:
    for node, _ in order(rule_graph(rule), lambda n: n.function == "recurrence"):
        if node.never_negative and not node.is_open:
            assert not (probe_values()(node) < 0.0).any()
