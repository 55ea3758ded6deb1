"""Shortenings, the interpreter, and the package as a whole."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import pytest

import search_space
from search_space import Interpreter, expand, parse_rule, run


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("m", "m = 0.9 * prev(m) + (1 - 0.9) * g\nu = m"),
        ("ema(g, 0.5)", "0.5 * prev(u) + (1 - 0.5) * g"),
        ("-ema(g, 0.5)", "ema_1 = 0.5 * prev(ema_1) + (1 - 0.5) * g\nu = -ema_1"),
        ("2 * cumsum(g)", "cumsum_1 = prev(cumsum_1) + g\nu = 2 * cumsum_1"),
        ("v = cummax(abs(g)); u = g / v", "v = max(prev(v), abs(g))\nu = g / v"),
        ("cumsum(g, 0.9)", "0.9 * prev(u) + g"),
        ("-cummax(abs(g), 0.5)", "cummax_1 = max(0.5 * prev(cummax_1), abs(g))\nu = -cummax_1"),
        ("g - delay(g)", "delay_1 = g\nu = g - prev(delay_1)"),
        ("delay(delay(w))", "delay_1 = w\ndelay_2 = prev(delay_1)\nu = prev(delay_2)"),
        ("d = delay(2); u = d * g", "delay_1 = 1 * 2\nd = prev(delay_1)\nu = d * g"),
        ("ld * g", "(1 - min(t, T) / T) * g"),
        (
            "m = g * 2; u = mhat + m",
            "m_1 = 0.9 * prev(m_1) + (1 - 0.9) * g\nmhat = m_1 / (1 - 0.9 ** (t + 1))\nm = g * 2\nu = mhat + m",
        ),
    ],
)
def test_shortenings_expand(text: str, expanded: str) -> None:
    result = expand(parse_rule(text))
    if "\nm = " in expanded:  # the order of independent equations is free
        assert sorted(result.text.splitlines()) == sorted(expanded.splitlines())
    else:
        assert result.text == expanded
    assert expand(result) == result


def test_ready_names_by_hand() -> None:
    # g = 1 then 3: m = 0.1, 0.39; v = 0.001, 0.009999; mhat = 0.1/0.1, 0.39/0.19
    gradients = np.array([[1.0], [3.0]])

    def updates(text: str) -> list[float]:
        path = run(parse_rule(text), gradients, np.zeros(1), lr=1.0)[:, 0]
        return [float(u) for u in -np.diff(path, prepend=0.0)]

    assert updates("m") == pytest.approx([0.1, 0.39])
    assert updates("v") == pytest.approx([0.001, 0.009999])
    assert updates("gamma") == pytest.approx([0.001, 0.027999])
    assert updates("mhat") == pytest.approx([1.0, 0.39 / 0.19])
    assert updates("vhat") == pytest.approx([1.0, 0.009999 / 0.001999])
    assert updates("adam") == pytest.approx([1.0, (0.39 / 0.19) / (0.009999 / 0.001999) ** 0.5])
    assert updates("rmsprop") == pytest.approx([1 / 0.1**0.5, 3 / 0.99**0.5])


@pytest.mark.parametrize(
    ("text", "updates"),
    [
        ("cumsum(g)", [1.0, -1.0, 2.0]),
        ("cumsum(g, 0.5)", [1.0, -1.5, 2.25]),  # 1; 0.5 - 2; -0.75 + 3
        ("cummax(g)", [1.0, 1.0, 3.0]),
        ("cummax(abs(g), 0.5)", [1.0, 2.0, 3.0]),
        ("cummax(-g, 0.5)", [0.0, 2.0, 1.0]),  # max(0, -1); max(0, 2); max(1, -3)
        ("delay(g)", [0.0, 1.0, -2.0]),
        ("delay(delay(g))", [0.0, 0.0, 1.0]),
        ("delay(3) * g", [0.0, -6.0, 9.0]),
        ("delay(cumsum(g))", [0.0, 1.0, -1.0]),
    ],
)
def test_sums_maxima_and_delays_by_hand(text: str, updates: list[float]) -> None:
    path = run(parse_rule(text), np.array([[1.0], [-2.0], [3.0]]), np.zeros(1), lr=1.0)[:, 0]
    assert (-np.diff(path, prepend=0.0)).tolist() == pytest.approx(updates)


def test_interpreter_options() -> None:
    rule = parse_rule("beta = 0.5; u = beta * g")
    g, w = np.ones((2, 3)), np.zeros((2, 3))
    assert Interpreter(rule, hyperparameters={"beta": 2.0}).step(g, w, 0.1).tolist() == (2 * g).tolist()
    with pytest.raises(ValueError, match=r"hyperparameters=\['gamma'\] are not among those of the rule: \['beta'\]"):
        Interpreter(rule, hyperparameters={"gamma": 1.0})


def test_the_update_has_the_shape_of_the_gradient() -> None:
    for text in ("2", "g", "norm(g)"):
        assert Interpreter(parse_rule(text)).step(np.ones((2, 3)), np.ones((2, 3)), 0.1).shape == (2, 3)


MODULES = sorted(module.name for module in pkgutil.iter_modules(search_space.__path__))


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"search_space.{module}")).failed == 0


def test_no_module_shares_its_name_with_what_it_exports() -> None:
    assert not set(MODULES) & set(search_space.__all__)


def test_importing_loads_neither_torch_nor_ray_nor_sympy() -> None:
    code = "import search_space, sys; print(sorted({'torch', 'ray', 'sympy'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
