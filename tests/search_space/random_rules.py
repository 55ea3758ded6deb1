"""Random expressions and rules for property tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from search_space import Equation, Rule, SearchSpace
from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import PRIMITIVES

NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 0.9, 1e-8, 1e-5, -3.25, 10.0, 1e300, 1e-300)
numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False, width=64)).map(
    lambda value: Number(float(value))
)


def expressions(*names: str, remembered: tuple[str, ...] = ()) -> st.SearchStrategy[Expression]:
    """Expressions of all primitives over `names` and the past of `remembered`."""
    leaves: list[st.SearchStrategy[Any]] = [numbers, st.sampled_from([Symbol(name) for name in names])]
    if remembered:
        leaves.append(st.sampled_from([Previous(name, 0.5 if name == "b" else 0.0) for name in remembered]))

    def calls(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        return st.sampled_from(sorted(PRIMITIVES)).flatmap(
            lambda f: st.tuples(*[inner] * PRIMITIVES[f].arity).map(lambda arguments: Call(f, arguments))
        )

    return st.recursive(st.one_of(leaves), calls, max_leaves=12)


@st.composite
def rules(draw: st.DrawFn, shortenings: bool = True) -> Rule:
    """Rules of up to three equations, with hyperparameters, recurrences and, if asked, ready names and decays."""
    remembered = ("a", "b", "u")[: draw(st.integers(0, 3))]
    ready = ("m", "vhat", "adam", "ld", "cd") if shortenings else ()
    hyperparameters = (("beta", draw(numbers).value),) if draw(st.booleans()) else ()
    names = ["g", "w", "t", "T", "lr", *ready, *(name for name, _ in hyperparameters)]
    equations = []
    for name in sorted({"u", *remembered}):
        expression = draw(expressions(*names, remembered=remembered))
        if isinstance(expression, Number) and name != "u":
            expression = Call("+", (expression, Symbol("g")))  # a number alone would be a hyperparameter
        equations.append(Equation(name, expression))
        names.append(name)
    return Rule(hyperparameters, tuple(equations))


@st.composite
def strings(draw: st.DrawFn, space: SearchSpace) -> tuple[int, ...]:
    """Strings that the constraints of `space` allow."""
    tokens: tuple[int, ...] = ()
    for _ in space.choices:
        allowed = np.flatnonzero(space.masks(np.array([tokens], np.int64).reshape(1, len(tokens)))[0])
        tokens = (*tokens, draw(st.sampled_from(allowed.tolist())))
    return tokens
