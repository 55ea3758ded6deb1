"""The primitives: one row each, and nothing about them anywhere else in this package.

A row says what a primitive is called, how it is printed, what it means in numpy (float64, the reference meaning), what it means in
sympy (for formulas) and what it costs. `+`, `exp` and `norm` show the three kinds: an infix operator, a function of one element, and
a reduction over a whole tensor.

To add a primitive: a row here, a row in `neuropt/compiling/torch_primitives.py`, and a row in each of their tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["pointwise", "reducing", "drawing"]

LOG_FLOOR = 1e-12
"""log|x| is floored here: a constant pixel has a gradient of exactly 0, and its logarithm must not end a child."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """One operation of the language.

    Args:
        name: how text calls it; for operators, the operator itself (`neg` is the prefix minus).
        arity: number of arguments.
        numpy: the meaning, on float64 arrays of shape (..., elements); reductions keep the last axis with length 1.
        sympy: the formula; the sympy module comes as the first argument, so that importing this module does not import sympy.
        cost: rough price of one element, in additions.
        precedence: of an infix operator, None for functions.
        kind: `pointwise`, `reducing` (mixes the elements of a tensor) or `drawing` (random).
    """

    name: str
    arity: int
    numpy: Callable[..., Any]
    sympy: Callable[..., Any]
    cost: int = 1
    precedence: int | None = None
    kind: Kind = "pointwise"


COMPARISON, SUM, PRODUCT, MINUS, POWER, ATOM = 1, 2, 3, 4, 5, 6


def _compare(operator: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: np.where(operator(x, y), 1.0, 0.0)


def _row_sum(x: Any) -> Any:
    # a number counts as a tensor of one element
    return np.sum(np.atleast_1d(x), axis=-1, keepdims=True)


def _indicator(relation: str) -> Callable[..., Any]:
    return lambda sp, x, y: sp.Piecewise((1, sp.Rel(x, y, relation)), (0, True))


_ROWS = (
    Primitive("+", 2, np.add, lambda sp, x, y: x + y, precedence=SUM),
    Primitive("-", 2, np.subtract, lambda sp, x, y: x - y, precedence=SUM),
    Primitive("*", 2, np.multiply, lambda sp, x, y: x * y, precedence=PRODUCT),
    Primitive("/", 2, np.divide, lambda sp, x, y: x / y, cost=4, precedence=PRODUCT),
    Primitive("neg", 1, np.negative, lambda sp, x: -x, precedence=MINUS),
    Primitive("**", 2, np.power, lambda sp, x, y: x**y, cost=20, precedence=POWER),
    Primitive("<", 2, _compare(np.less), _indicator("<"), precedence=COMPARISON),
    Primitive("<=", 2, _compare(np.less_equal), _indicator("<="), precedence=COMPARISON),
    Primitive(">", 2, _compare(np.greater), _indicator(">"), precedence=COMPARISON),
    Primitive(">=", 2, _compare(np.greater_equal), _indicator(">="), precedence=COMPARISON),
    Primitive("==", 2, _compare(np.equal), _indicator("=="), precedence=COMPARISON),
    Primitive("!=", 2, _compare(np.not_equal), _indicator("!="), precedence=COMPARISON),
    Primitive("abs", 1, np.abs, lambda sp, x: sp.Abs(x)),
    Primitive("sign", 1, np.sign, lambda sp, x: sp.Function("sign")(x)),
    Primitive("exp", 1, np.exp, lambda sp, x: sp.exp(x), cost=10),
    Primitive("log", 1, np.log, lambda sp, x: sp.log(x), cost=10),
    Primitive(
        "log_abs",
        1,
        lambda x: np.log(np.maximum(np.abs(x), LOG_FLOOR)),
        lambda sp, x: sp.log(sp.Abs(x)),
        cost=10,
    ),
    Primitive("sqrt", 1, np.sqrt, lambda sp, x: sp.sqrt(x), cost=4),
    Primitive("cos", 1, np.cos, lambda sp, x: sp.cos(x), cost=10),
    Primitive("tanh", 1, np.tanh, lambda sp, x: sp.tanh(x), cost=15),
    Primitive("min", 2, np.minimum, lambda sp, x, y: sp.Function("min")(x, y)),
    Primitive("max", 2, np.maximum, lambda sp, x, y: sp.Function("max")(x, y)),
    Primitive("mod", 2, np.mod, lambda sp, x, y: sp.Function("mod")(x, y), cost=10),
    # the vocabulary's x^y, safe for negative x: exp(y log|x|), with 0^0 = 1 and 0^negative = inf
    Primitive("pow_abs", 2, lambda x, y: np.power(np.abs(x), y), lambda sp, x, y: sp.Abs(x) ** y, cost=20),
    Primitive(
        "clip",
        2,
        lambda x, c: np.maximum(np.minimum(x, c), np.negative(c)),
        lambda sp, x, c: sp.Function("clip")(x, c),
        cost=2,
    ),
    Primitive(
        "clamp",
        3,
        lambda x, low, high: np.minimum(np.maximum(x, low), high),
        lambda sp, x, low, high: sp.Function("clamp")(x, low, high),
        cost=2,
    ),
    Primitive(
        "where",
        3,
        lambda condition, x, y: np.where(np.not_equal(condition, 0.0), x, y),
        lambda sp, condition, x, y: sp.Function("where")(condition, x, y),
    ),
    Primitive(
        "norm",
        1,
        lambda x: np.sqrt(_row_sum(np.square(x))),
        lambda sp, x: sp.Function("norm")(x),
        cost=2,
        kind="reducing",
    ),
    Primitive(
        "mean",
        1,
        lambda x: _row_sum(x) / np.shape(np.atleast_1d(x))[-1],
        lambda sp, x: sp.Function("mean")(x),
        kind="reducing",
    ),
    Primitive(
        "dot",
        2,
        lambda x, y: _row_sum(np.multiply(x, y)),
        lambda sp, x, y: sp.Function("dot")(x, y),
        cost=2,
        kind="reducing",
    ),
    # the random numbers themselves come from `draws`: the interpreter hands them in as the last argument
    Primitive(
        "noise",
        1,
        lambda std, normal: np.multiply(std, normal),
        lambda sp, std: sp.Function("noise")(std),
        cost=30,
        kind="drawing",
    ),
    Primitive(
        "drop",
        2,
        lambda x, p, uniform: np.where(np.greater_equal(uniform, p), x, 0.0),
        lambda sp, x, p: sp.Function("drop")(x, p),
        cost=20,
        kind="drawing",
    ),
)

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
"""Every primitive by name.

>>> PRIMITIVES["pow_abs"].numpy(-2.0, 3.0)
np.float64(8.0)
"""

COMMUTATIVE = frozenset({"+", "*", "min", "max", "==", "!=", "dot"})
"""Primitives whose two arguments may change places without changing any bit of the result."""
