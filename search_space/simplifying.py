"""Rewrite a rule into a shorter one that computes the same numbers.

Every row keeps the value for *every* float64 input, NaN, infinities and both zeros among them. So `x * 1 -> x` is a row, while
`x * 0 -> 0`, `x - x -> 0` and `(a + b) + c -> a + (b + c)` are not. Three kinds of change are made:

- rows on one call, such as `clip(clip(x, a), b) -> clip(x, min(a, b))`;
- numbers folded, `1 - 0.9 -> 0.09999999999999998`, as float64 computes them;
- equations that nothing reads, or that only rename, are removed.

Some rows give 0 where the original gives -0 (`x + 0 -> x`). They differ only under a division, so they are used only in rules where
no computed zero can be divided by. Draws keep their numbers and are never merged, so the random numbers stay the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import cast

import numpy as np

from search_space.expression import Call, Expression, Number, Previous, Symbol, rebuild, walk
from search_space.primitives import PRIMITIVES
from search_space.rule import INPUTS, READY, REMEMBERED_READY, RESULT, Equation, Rule

Row = Callable[..., Expression | None]
_FOLDED = {name for name, row in PRIMITIVES.items() if row.kind == "pointwise"}
_REDUCING = {name for name, row in PRIMITIVES.items() if row.kind == "reducing"}
_EVEN = ("abs", "log_abs", "cos", "norm")
_NEVER_NEGATIVE = ("abs", "exp", "pow_abs", "norm")


def simplify(rule: Rule) -> Rule:
    """Return a shorter rule with the same update for every input.

    Works on rules as written and on expanded ones. Hyperparameters stay, since they are what a user may set.

    >>> from search_space import parse_rule
    >>> simplify(parse_rule("a = sign(sign(g)); b = a; u = 1 * b * 2")).text
    'a = sign(g)\\nu = 2 * a'
    """
    equations = simplify_equations(rule.equations)
    return rule if equations == rule.equations else Rule(rule.hyperparameters, equations)


def simplify_equations(equations: tuple[Equation, ...]) -> tuple[Equation, ...]:
    """Simplify the equations of a rule, without the checks of making a new one."""
    while True:
        simplifier = Simplifier(keep_zero_sign=_zero_sign_matters(equations), keep_shape=_reduces(equations))
        shorter = _without_renames(equations, simplifier)
        if len(shorter) > 1:
            shorter = _without_unread(shorter)
        if tuple(shorter) == equations:
            return equations
        equations = tuple(shorter)


class Simplifier:
    """Applies the rows to expressions.

    Args:
        keep_zero_sign: leave out the rows that may turn -0 into 0.
        keep_shape: leave out the rows that may turn a tensor into a number, of which norm and dot are other numbers.
    """

    def __init__(self, keep_zero_sign: bool, keep_shape: bool) -> None:
        self.keep_zero_sign = keep_zero_sign
        self.keep_shape = keep_shape
        self.rows: dict[str, Row] = {
            "+": self._sum,
            "-": self._difference,
            "*": self._product,
            "/": self._quotient,
            "neg": self._negation,
            "**": self._power,
            "pow_abs": self._power_of_size,
            "sign": self._sign,
            "clip": self._clip,
            "where": self._where,
            "drop": self._drop,
            "min": self._extreme,
            "max": self._extreme,
        }
        self.rows |= dict.fromkeys(_EVEN, cast(Row, self._even))

    def __call__(self, expression: Expression) -> Expression:
        """Return `expression` with every row applied, innermost first."""
        if not isinstance(expression, Call):
            return expression
        arguments = tuple([self(argument) for argument in expression.arguments])
        if all(map(is_, arguments, expression.arguments)):  # what is simple stays one object, which compares at once
            return self.shortened(expression)
        return self.make(expression.function, *arguments, draw=expression.draw)

    def make(self, function: str, *arguments: Expression, draw: int | None = None) -> Expression:
        """Return the call of simplified arguments, itself simplified."""
        return self.shortened(Call(function, arguments, draw))

    def shortened(self, call: Call) -> Expression:
        """Return a call whose arguments are simplified, itself simplified."""
        function, arguments = call.function, call.arguments
        if function in _FOLDED and all(isinstance(argument, Number) for argument in arguments):
            folded = _fold(function, arguments)
            if folded is not None:
                return folded
        row = self.rows.get(function)
        shorter = row(call, *arguments) if row is not None else None
        return call if shorter is None else shorter

    def _sum(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Call("neg", (b,)):  # x + (-b) -> x - b
                return self.make("-", x, b)
            case Call("neg", (a,)), _:  # (-a) + y -> y - a
                return self.make("-", y, a)
            case _, Number(0.0) if not self.keep_zero_sign:  # x + 0 -> x; -0 + 0 is 0
                return x
            case Number(0.0), _ if not self.keep_zero_sign:  # 0 + y -> y
                return y
            case _, Number(c) if c < 0.0:  # x + (-c) -> x - c
                return self.make("-", x, Number(-c))
            case Number(c), _ if c < 0.0:  # (-c) + y -> y - c
                return self.make("-", y, Number(-c))
        if x == y and _is_one_value(x):  # x + x -> 2 x, a power of two is exact
            return self.make("*", Number(2.0), x)
        return None

    def _difference(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Call("neg", (b,)):  # x - (-b) -> x + b
                return self.make("+", x, b)
            case _, Number(c) if c == 0.0 and math.copysign(1.0, c) > 0.0:  # x - 0 -> x, also for x = -0
                return x
            case _, Number(c) if c < 0.0:  # x - (-c) -> x + c
                return self.make("+", x, Number(-c))
            case Number(0.0), _ if not self.keep_zero_sign:  # 0 - y -> -y; 0 - 0 is 0
                return self.make("neg", y)
            case Call("neg", (a,)), _ if not self.keep_zero_sign:  # (-a) - y -> -(a + y)
                return self.make("neg", self.make("+", a, y))
        return None

    def _product(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Number() if not isinstance(x, Number):  # x c -> c x: numbers stand in front
                return self.make("*", y, x)
            case Number(1.0), _:  # 1 y -> y
                return y
            case Number(-1.0), _:  # -1 y -> -y
                return self.make("neg", y)
            case Number(c), Call("neg", (b,)):  # c (-b) -> (-c) b
                return self.make("*", Number(-c), b)
            case Call("neg", (a,)), Call("neg", (b,)):  # (-a) (-b) -> a b
                return self.make("*", a, b)
            case Call("neg", (a,)), _:  # (-a) y -> -(a y)
                return self.make("neg", self.make("*", a, y))
            case _, Call("neg", (b,)):  # x (-b) -> -(x b)
                return self.make("neg", self.make("*", x, b))
        return None

    def _quotient(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Number(1.0):  # x / 1 -> x
                return x
            case _, Number(-1.0):  # x / -1 -> -x
                return self.make("neg", x)
            case Call("neg", (a,)), Call("neg", (b,)):  # (-a) / (-b) -> a / b
                return self.make("/", a, b)
            case Call("neg", (a,)), _:  # (-a) / y -> -(a / y)
                return self.make("neg", self.make("/", a, y))
            case _, Call("neg", (b,)):  # x / (-b) -> -(x / b)
                return self.make("neg", self.make("/", x, b))
        return None

    def _negation(self, call: Call, x: Expression) -> Expression | None:
        match x:
            case Call("neg", (a,)):  # -(-a) -> a
                return a
            case Call("*", (Number(c), a)):  # -(c a) -> (-c) a
                return self.make("*", Number(-c), a)
            case Call("-", (a, b)) if not self.keep_zero_sign:  # -(a - b) -> b - a; -(a - a) is -0
                return self.make("-", b, a)
        return None

    def _power(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Number(1.0):  # x^1 -> x
                return x
            case _, Number(0.0) if not self.keep_shape:  # x^0 -> 1, also for NaN (IEEE 754)
                return Number(1.0)
            case Number(1.0), _ if not self.keep_shape:  # 1^y -> 1, also for NaN
                return Number(1.0)
            case Call("abs" | "neg", (a,)), Number(2.0):  # |a|^2 -> a^2, (-a)^2 -> a^2
                return self.make("**", a, y)
        return None

    def _power_of_size(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        match x, y:
            case _, Number(1.0):  # |x|^1 -> |x|
                return self.make("abs", x)
            case _, Number(0.0) if not self.keep_shape:  # |x|^0 -> 1
                return Number(1.0)
            case Call("abs" | "neg", (a,)), _:  # ||a||^y, |-a|^y -> |a|^y
                return self.make("pow_abs", a, y)
        return None

    def _even(self, call: Call, x: Expression) -> Expression | None:
        match x:
            case Call("neg" | "abs", (a,)):  # f(-a), f(|a|) -> f(a) for even f
                return self.make(call.function, a)
            case Call(function) if call.function == "abs" and function in _NEVER_NEGATIVE:  # |exp(a)| -> exp(a)
                return x
        return None

    def _sign(self, call: Call, x: Expression) -> Expression | None:
        match x:
            case Call("sign"):  # sign(sign(a)) -> sign(a)
                return x
            case Call("clip", (a, Number(c))) if c > 0.0:  # sign(clip(a, c)) -> sign(a)
                return self.make("sign", a)
            case Call("neg", (a,)) if not self.keep_zero_sign:  # sign(-a) -> -sign(a); sign(-0) is 0
                return self.make("neg", self.make("sign", a))
        return None

    def _clip(self, call: Call, x: Expression, limit: Expression) -> Expression | None:
        match x, limit:
            case Call("clip", (a, Number(inner))), Number(c) if inner >= 0.0 and c >= 0.0:
                return self.make("clip", a, Number(min(inner, c)))  # clip(clip(a, b), c) -> clip(a, min(b, c))
            case Call("neg", (a,)), Number(c) if c > 0.0:  # clip(-a, c) -> -clip(a, c)
                return self.make("neg", self.make("clip", a, limit))
            case Call("sign"), Number(c) if c >= 1.0:  # clip(sign(a), c) -> sign(a) for c >= 1
                return x
        return None

    def _where(self, call: Call, condition: Expression, x: Expression, y: Expression) -> Expression | None:
        if self.keep_shape:
            return None
        if isinstance(condition, Number):  # where(1, x, y) -> x, where(0, x, y) -> y
            return x if condition.value != 0.0 else y
        return x if x == y and _is_one_value(x) else None  # where(c, x, x) -> x

    def _drop(self, call: Call, x: Expression, p: Expression) -> Expression | None:
        match x, p:
            case _, Number(chance) if (
                chance <= 0.0 and not self.keep_shape
            ):  # drop(x, 0) -> x, since uniforms lie inside (0, 1)
                return x
            case Call("neg", (a,)), _ if not self.keep_zero_sign:  # drop(-a, p) -> -drop(a, p); dropped is 0, not -0
                return self.make("neg", self.make("drop", a, p, draw=call.draw))
        return None

    def _extreme(self, call: Call, x: Expression, y: Expression) -> Expression | None:
        return x if x == y and _is_one_value(x) else None  # max(x, x) -> x, min(x, x) -> x


def _fold(function: str, arguments: tuple[Expression, ...]) -> Number | None:
    with np.errstate(all="ignore"):
        # arrays, as in the interpreter: numpy's scalar power may differ in the last bit
        values = [np.float64(argument.value) for argument in arguments if isinstance(argument, Number)]
        value = float(PRIMITIVES[function].numpy(*values))
    return Number(value) if math.isfinite(value) else None


def _is_one_value(expression: Expression) -> bool:
    """Whether two equal expressions are one value: not so for draws that have no number yet."""
    drawing = (n for n in walk(expression) if isinstance(n, Call) and n.function in ("noise", "drop"))
    return all(node.draw is not None for node in drawing)


def _reduces(equations: tuple[Equation, ...]) -> bool:
    """Whether the rule mixes the elements of a tensor."""
    functions = (n.function for e in equations for n in walk(e.expression) if isinstance(n, Call))
    return any(function in _REDUCING for function in functions)


def _zero_sign_matters(equations: tuple[Equation, ...]) -> bool:
    """Whether the rule may divide by a computed zero, whose sign would then decide between inf and -inf."""
    names = {equation.name for equation in equations}
    return any(_divides_by_zero(n, names) for e in equations for n in walk(e.expression) if isinstance(n, Call))


def _divides_by_zero(call: Call, names: set[str]) -> bool:
    match call:
        case Call("/", (_, y)):
            return not _has_plain_zero(y, names)
        case Call("**", (x, y)):
            return not (_has_plain_zero(x, names) or (isinstance(y, Number) and y.value >= 0.0))
        case _:
            return False


def _has_plain_zero(y: Expression, names: set[str]) -> bool:
    """Whether no row changes the sign of a zero of `y`: it is read as given, or it is a sum whose zeros are all 0, never -0."""
    match y:
        case Number():
            return True
        case Symbol(name):
            return name not in names and name not in READY
        case Call("+" | "-", (_, Number(c)) | (Number(c), _)):
            return c != 0.0
        case Call("abs" | "exp" | "norm"):
            return True
        case _:
            return False


def _without_unread(equations: list[Equation]) -> list[Equation]:
    """Leave out what the update does not depend on."""
    reads = {e.name: {n.name for n in walk(e.expression) if isinstance(n, Symbol | Previous)} for e in equations}
    needed, waiting = {RESULT}, [RESULT]
    while waiting:
        for name in reads.get(waiting.pop(), ()):
            if name not in needed:
                needed.add(name)
                waiting.append(name)
    return [equation for equation in equations if equation.name in needed]


def _without_renames(equations: Sequence[Equation], simplifier: Simplifier) -> list[Equation]:
    """Simplify expressions, remove `a = b` and `a = 0.1`, and let the readers of `a` read what it stands for."""
    remembered = {n.name: n.start for e in equations for n in walk(e.expression) if isinstance(n, Previous)}
    names = {equation.name for equation in equations}
    values: dict[str, Number | Symbol] = {}
    kept: list[Equation] = []
    for equation in equations:
        name = equation.name
        target = simplifier(_read(equation.expression, values) if values else equation.expression)
        if isinstance(target, Number) and name in remembered and name != RESULT:
            # a number alone would read back as a hyperparameter, which has no past
            unfolded = _read(equation.expression, values)
            product = Call("*", (Number(1.0), unfolded))
            kept.append(Equation(name, product if isinstance(unfolded, Number) else unfolded))
        elif name == RESULT:
            kept.append(Equation(name, target))
        elif isinstance(target, Number):
            values[name] = target
        elif isinstance(target, Symbol) and _may_stand_for(target.name, name, names, remembered):
            values[name] = target
            if name in remembered:
                remembered[target.name] = remembered[name]
        else:
            kept.append(Equation(name, target))
    if values:  # the past of a removed name may be read above it
        kept = [Equation(e.name, _read(e.expression, values)) for e in kept]
    return _result_named(kept, remembered)


def _read(expression: Expression, values: Mapping[str, Number | Symbol]) -> Expression:
    """Replace names by what they stand for, also where their past is read."""

    def change(node: Expression) -> Expression:
        if not isinstance(node, Symbol | Previous) or node.name not in values:
            return node
        value = values[node.name]
        return replace(node, name=value.name) if isinstance(value, Symbol) else value

    return rebuild(expression, change)


def _may_stand_for(target: str, name: str, names: set[str], remembered: dict[str, float]) -> bool:
    if name not in remembered:
        return True
    if target not in names and target not in REMEMBERED_READY:
        return False  # prev(g) does not exist
    default = remembered[name] if target in names else 0.0
    return remembered.get(target, default) == remembered[name]


def _result_named(equations: list[Equation], remembered: dict[str, float]) -> list[Equation]:
    """Turn `a = ...; u = a` into `u = ...` where nothing between them reads `a`."""
    *others, last = equations
    if not isinstance(last.expression, Symbol) or last.expression.name in INPUTS:
        return equations
    name = last.expression.name
    read = any(isinstance(n, Symbol) and n.name == name for e in others for n in walk(e.expression))
    if read or all(e.name != name for e in others):
        return equations
    if RESULT in remembered and remembered.get(name, remembered[RESULT]) != remembered[RESULT]:
        return equations
    moved = [Equation(RESULT, e.expression) if e.name == name else e for e in others]
    moved.sort(key=lambda e: e.name == RESULT)
    return [Equation(e.name, _read(e.expression, {name: Symbol(RESULT)})) for e in moved]
