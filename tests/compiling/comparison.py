"""How two forms of a rule are compared, and random rules to compare."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuropt.compiling.program import equation_kinds
from search_space import Equation, Interpreter, Rule
from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import PRIMITIVES

TOLERANCE = 1e-12
"""Relative to max(1, |x|): a few hundred ulps of float64, for sums in another order and other people's exp and pow."""

EDGES = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, -0.5, 3.0, np.nan, np.inf, -np.inf, 1e-320, 1e300, -1e-12]


def differing(got: Any, expected: Any, scale: Any = 0.0) -> NDArray[np.intp]:
    """Return the places where `got` is not `expected`; NaN and infinity equal themselves."""
    got, expected = np.broadcast_arrays(np.asarray(got, np.float64), np.asarray(expected, np.float64))
    with np.errstate(all="ignore"):
        size = np.maximum(np.maximum(1.0, np.abs(expected)), scale)
        same = (got == expected) | (np.isnan(got) & np.isnan(expected)) | (np.abs(got - expected) <= TOLERANCE * size)
    return np.flatnonzero(~same)


def assert_same(got: Any, expected: Any, what: str = "") -> None:
    places = differing(got, expected)
    shown = [(np.ravel(got)[i], np.ravel(expected)[i]) for i in places[:3]]
    assert not len(places), f"{what}: {len(places)} differ, such as {shown}"


def numbers() -> st.SearchStrategy[Expression]:
    return st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.5, -0.5, 3.0, 0.1, 1e-8]).map(Number)


def expressions(names: list[str], previous: list[str]) -> st.SearchStrategy[Expression]:
    """Random expressions over symbols and remembered values; `s` starts at 1, all others at 0."""
    symbols = st.sampled_from([*names, "g", "g", "w", "t", "T", "lr", "beta"]).map(Symbol)
    remembered = st.sampled_from(previous).map(lambda name: Previous(name, 1.0 if name == "s" else 0.0))

    def calls(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        return st.sampled_from(sorted(PRIMITIVES)).flatmap(
            lambda f: st.tuples(*[inner] * PRIMITIVES[f].arity).map(lambda arguments: Call(f, arguments))
        )

    return st.recursive(symbols | remembered | numbers(), calls, max_leaves=8)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Random rules of three equations that remember up to two values."""
    equations: list[Equation] = []
    for name in ("m", "s", "u"):
        expression = draw(expressions([e.name for e in equations], ["m", "s"]))
        if name != "u" and isinstance(expression, Number):
            expression = Call("neg", (expression,))  # a number alone would be a hyperparameter
        equations.append(Equation(name, expression))
    return Rule((("beta", 0.9),), tuple(equations))


def reference(rule: Rule, size: int, **options: Any) -> Interpreter:
    """Return an interpreter whose remembered tensors are tensors from the first step on, as its own are from the second.

    It starts them as one number, which shows in `norm` and `dot` alone: the norm of n ones is sqrt(n), that of one number 1.
    """
    interpreter = Interpreter(rule, **options)
    kinds = equation_kinds(interpreter.rule)
    full = {name: np.full(size, start) for name, start in interpreter.remembered.items() if kinds[name] == "tensor"}
    interpreter.remembered |= full
    return interpreter
