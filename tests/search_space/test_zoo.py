from __future__ import annotations

import numpy as np
import pytest

from search_space import Interpreter, describe_zoo, load_space, parse_rule, run, to_latex, zoo
from search_space.primitives import Array

TOLERANCE = 1e-12  # relative to max(1, |w|): the forms differ by the order of a few operations
PUBLISHED = 6e-13  # the published rows have twelve decimals

EXPECTED = {
    *("sgd", "momentum", "nesterov", "sgdw", "adagrad", "rmsprop", "rmsprop-centered", "rmsprop-momentum", "adadelta"),
    *("adam", "adamw", "amsgrad", "nadam", "radam", "adamax", "yogi", "adabound", "amsbound", "lion"),
    *("signsgd", "signum", "adagraft-sgd-adam", "adagraft-adam-sgd"),
    *(f"{name}{decay}" for name in ("powersign", "addsign") for decay in ("", "-ld", "-cd", "-rd")),
    *(f"bello-{i:02}" for i in range(1, 17)),
}


def gradients() -> Array:
    generator = np.random.default_rng(3)
    g = generator.normal(size=(100, 6)) * 10.0 ** generator.integers(-12, 4, size=(100, 6))
    g[::7] = 0.0
    return g


def test_names() -> None:
    assert zoo().keys() >= EXPECTED


@pytest.mark.parametrize("name", sorted(zoo()))
def test_entries_say_what_and_whose_and_read_back(name: str) -> None:
    entry = describe_zoo()[name]
    assert entry.description
    assert entry.source
    assert parse_rule(entry.rule.text) == entry.rule
    assert to_latex(entry.rule).startswith("\\begin{aligned}")


# exp(g) - exp(mhat) vanishes where the gradient is steady
@pytest.mark.parametrize("name", sorted(zoo().keys() - {"bello-15"}))
def test_each_minimises_a_parabola(name: str) -> None:
    start = np.array([1.0, -0.5])
    w, interpreter = start, Interpreter(zoo()[name], decay_steps=400)
    for _ in range(400):
        w = w - 0.01 * interpreter.step(w, w, 0.01)  # the gradient of w^2/2 is w
    assert np.square(w).sum() < np.square(start).sum()


def sgd(g: Array) -> Array:
    return -0.1 * np.cumsum(g, axis=0)


def momentum(g: Array) -> Array:
    w, buf, path = np.zeros(6), np.zeros(6), []
    for g_t in g:
        buf = 0.9 * buf + g_t
        w = w - 0.1 * buf
        path.append(w)
    return np.stack(path)


def nesterov(g: Array) -> Array:
    w, buf, path = np.zeros(6), np.zeros(6), []
    for g_t in g:
        buf = 0.9 * buf + g_t
        w = w - 0.1 * (g_t + 0.9 * buf)
        path.append(w)
    return np.stack(path)


def adam(g: Array, weight_decay: float = 0.0, amsgrad: bool = False) -> Array:
    w, m, v, largest, path = np.zeros(6), np.zeros(6), np.zeros(6), np.zeros(6), []
    for t, g_t in enumerate(g, start=1):
        w = w * (1 - 0.1 * weight_decay)
        m = 0.9 * m + 0.1 * g_t
        v = 0.999 * v + 0.001 * g_t**2
        largest = np.maximum(largest, v)
        second = largest if amsgrad else v
        w = w - 0.1 / (1 - 0.9**t) * m / (np.sqrt(second) / np.sqrt(1 - 0.999**t) + 1e-8)
        path.append(w)
    return np.stack(path)


def rmsprop(g: Array) -> Array:
    w, v, path = np.zeros(6), np.zeros(6), []
    for g_t in g:
        v = 0.99 * v + 0.01 * g_t**2
        w = w - 0.1 * g_t / (np.sqrt(v) + 1e-8)
        path.append(w)
    return np.stack(path)


def adagrad(g: Array) -> Array:
    return -0.1 * np.cumsum(g / (np.sqrt(np.cumsum(g**2, axis=0)) + 1e-10), axis=0)


def lion(g: Array) -> Array:
    w, m, path = np.zeros(6), np.zeros(6), []
    for g_t in g:
        w = w - 0.1 * np.sign(0.9 * m + (1 - 0.9) * g_t)
        m = 0.99 * m + (1 - 0.99) * g_t
        path.append(w)
    return np.stack(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", sgd(gradients())),
        ("momentum", momentum(gradients())),
        ("nesterov", nesterov(gradients())),
        ("adagrad", adagrad(gradients())),
        ("rmsprop", rmsprop(gradients())),
        ("adam", adam(gradients())),
        ("adamw", adam(gradients(), weight_decay=0.01)),
        ("amsgrad", adam(gradients(), amsgrad=True)),
        ("lion", lion(gradients())),
    ],
)
def test_values_equal_short_references(name: str, expected: Array) -> None:
    path = run(zoo()[name], gradients(), np.zeros(6), lr=0.1)
    np.testing.assert_array_less(np.abs(path - expected) / np.maximum(1.0, np.abs(expected)), TOLERANCE)


# the authors' seven steps: w0 = [1, 2] with gradients +0.1 for four steps, then -0.1 for three; w1 = [3, 4] with a tenth of them
PUBLISHED_ROWS: list[tuple[str, float, dict[str, float], int | None, str]] = [
    (
        "powersign",
        0.1,
        {},
        None,
        ".972817181715 .945634363431 .918451545146 .891268726862 .894947521273 .898626315685 .925809133970",
    ),
    ("powersign", 0.1, {"base": 10, "beta": 0.8}, None, ".9 .8 .7 .6 .601 .602 .702"),
    (
        "powersign-ld",
        0.1,
        {},
        10,
        ".972817181715 .948221150604 .925965741319 .905828214244 .911316330605 .917381637202 .932299884179",
    ),
    ("addsign", 0.1, {}, None, ".98 .96 .94 .92 .92 .92 .94"),
    ("addsign", 0.01, {"alpha": 0.1, "beta": 0.8}, None, ".9989 .9978 .9967 .9956 .9947 .9938 .9949"),
    ("addsign-ld", 0.1, {}, 10, ".98 .961 .943 .926 .930 .935 .949"),
]


@pytest.mark.parametrize(("name", "lr", "hyperparameters", "decay_steps", "row"), PUBLISHED_ROWS)
def test_sign_rules_follow_the_published_rows(
    name: str, lr: float, hyperparameters: dict[str, float], decay_steps: int | None, row: str
) -> None:
    signs = np.array([1, 1, 1, 1, -1, -1, -1])[:, None]
    options = {"hyperparameters": hyperparameters, "decay_steps": decay_steps}
    w0 = run(zoo()[name], signs * np.array([0.1, 0.1]), np.array([1.0, 2.0]), lr, **options)
    w1 = run(zoo()[name], signs * np.array([0.01, 0.01]), np.array([3.0, 4.0]), lr, **options)
    np.testing.assert_allclose(w0[:, 0], [float(x) for x in row.split()], rtol=0, atol=PUBLISHED)
    np.testing.assert_allclose(w0[:, 1], w0[:, 0] + 1.0, rtol=0, atol=PUBLISHED)
    np.testing.assert_allclose(w1, np.array([3.0, 4.0]) + 0.1 * (w0 - np.array([1.0, 2.0])), rtol=0, atol=PUBLISHED)


@pytest.mark.parametrize("name", [f"bello-{i:02}" for i in range(1, 17)])
def test_rules_of_the_paper_lie_in_its_space(name: str) -> None:
    space = load_space("icml2017", groups=3, no_final_add=False)
    assert space.encode(zoo()[name]) is not None
