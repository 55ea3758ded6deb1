"""Run a rule in numpy float64: the meaning of a rule, against which every other form is tested.

One `Interpreter` is one tensor under one rule. `step` evaluates the equations in order, remembers what `prev` will read, and returns
the update u; the caller does `w = w - lr * u`. `evaluate` does one expression, on arrays of shape (..., elements): reductions run over
the last axis, so that a whole recorded trajectory, shape (steps, elements), is evaluated in one go where nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, assert_never

import numpy as np

from search_space import draws
from search_space.expression import Call, Expression, Number, Previous, Symbol, walk
from search_space.primitives import PRIMITIVES, Array
from search_space.rule import RESULT, Rule
from search_space.sugar import expand

Draw = Callable[[str, int], Any]
"""(function, draw) -> standard normals for `noise`, uniforms for `drop`."""


def evaluate(expression: Expression, values: Mapping[str, Any], previous: Mapping[str, Any], draw: Draw) -> Any:
    """Return the value of an expanded expression.

    Args:
        values: inputs, hyperparameters and equations above, by name.
        previous: remembered values, by name.
        draw: where random numbers come from.
    """
    match expression:
        case Number(value):
            return value
        case Symbol(name):
            return values[name]
        case Previous(name):
            return previous[name]
        case Call(function, arguments, number):
            parts = [evaluate(argument, values, previous, draw) for argument in arguments]
            if number is not None:
                parts.append(draw(function, number))
            return PRIMITIVES[function].numpy(*parts)
        case _:
            assert_never(expression)


def starts(rule: Rule) -> dict[str, float]:
    """Return what an expanded rule remembers and where each value starts: the names that it reads through `prev`."""
    return {n.name: n.start for e in rule.equations for n in walk(e.expression) if isinstance(n, Previous)}


def tensors(rule: Rule) -> set[str]:
    """Return the equations of an expanded rule that have one number an element; the others have one a tensor, or one a step.

    The least fixed point: an equation is a tensor if it reads g, w, a draw or a tensor, other than through a reduction.
    """
    found = {"g", "w"}
    while True:
        more = {e.name for e in rule.equations if _is_tensor(e.expression, found)} - found
        if not more:
            return found - {"g", "w"}
        found |= more


def _is_tensor(expression: Expression, known: set[str]) -> bool:
    match expression:
        case Symbol(name) | Previous(name):
            return name in known
        case Call(function, arguments):
            kind = PRIMITIVES[function].kind
            return kind == "drawing" or (kind == "pointwise" and any(_is_tensor(a, known) for a in arguments))
        case _:
            return False


class Interpreter:
    """One tensor under one rule.

    Args:
        rule: any rule.
        hyperparameters: values that override the rule's own.
        decay_steps: T, the planned steps; needed by rules that read T.
        seed: of `noise` and `drop`.
        parameter: index of this tensor among those of the model.

    Raises:
        ValueError: an unknown hyperparameter, or a rule that reads T without `decay_steps`.

    >>> from search_space import parse_rule
    >>> interpreter = Interpreter(parse_rule("ema(g, 0.5)"))
    >>> interpreter.step(np.array([1.0, -2.0]), np.zeros(2), lr=0.1)
    array([ 0.5, -1. ])
    >>> interpreter.step(np.array([1.0, -2.0]), np.zeros(2), lr=0.1)
    array([ 0.75, -1.5 ])
    """

    def __init__(
        self,
        rule: Rule,
        *,
        hyperparameters: Mapping[str, float] | None = None,
        decay_steps: int | None = None,
        seed: int = 0,
        parameter: int = 0,
    ) -> None:
        self.rule = expand(rule)
        known = dict(rule.hyperparameters)
        unknown = sorted((hyperparameters or {}).keys() - known.keys())
        if unknown:
            raise ValueError(f"hyperparameters={unknown} are not among those of the rule: {sorted(known)}")
        if decay_steps is None and self.rule.reads("T"):
            raise ValueError("the rule reads T, the planned steps: pass decay_steps=")
        self.constants: dict[str, Any] = known | dict(hyperparameters or {}) | {"T": decay_steps and float(decay_steps)}
        self.remembered: dict[str, Any] = dict(starts(self.rule))
        self.tensors = tensors(self.rule)
        self.seed, self.parameter, self.t = seed, parameter, 0

    def step(self, g: Array, w: Array, lr: float) -> Array:
        """Return the update u for gradient `g` at parameter `w`, both of one shape, and remember what the next step reads."""
        shape = np.shape(g)
        g, w = np.asarray(g, np.float64).reshape(-1), np.asarray(w, np.float64).reshape(-1)
        if self.t == 0:  # a reduction of a start is one of all its elements
            full = self.tensors & self.remembered.keys()
            self.remembered |= {name: np.full(g.shape, self.remembered[name]) for name in full}
        values = self.constants | {"g": g, "w": w, "t": float(self.t), "lr": lr}

        def draw(function: str, number: int) -> Array:
            source = draws.normal if function == "noise" else draws.uniform
            return source(g.size, self.seed, self.parameter, number, self.t)

        with np.errstate(all="ignore"):
            for equation in self.rule.equations:
                values[equation.name] = evaluate(equation.expression, values, self.remembered, draw)
        self.remembered = {name: values[name] for name in self.remembered}
        self.t += 1
        return np.array(np.broadcast_to(values[RESULT], g.shape), np.float64).reshape(shape)


def run(rule: Rule, gradients: Array, start: Array, lr: float, **options: Any) -> Array:
    """Return the parameter after each step on recorded gradients: (steps, *shape) -> (steps, *shape).

    w_k = w_(k-1) - lr u_k

    >>> from search_space import parse_rule
    >>> run(parse_rule("g"), np.ones((2, 1)), np.zeros(1), lr=0.5)
    array([[-0.5],
           [-1. ]])
    """
    interpreter = Interpreter(rule, **options)
    w, path = np.asarray(start, np.float64), []
    with np.errstate(all="ignore"):
        for g in np.asarray(gradients, np.float64):
            w = w - lr * interpreter.step(g, w, lr)
            path.append(w)
    return np.stack(path)
