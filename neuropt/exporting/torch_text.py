"""Expressions of a rule as lines of Python that compute with torch.

    exp(sign(g) * sign(m)) * g      ->   torch.exp(sign(g) * sign(m)) * g
    clip(g, 1e-4)                   ->   g.clamp(-0.0001, 0.0001)
    0.9 * prev(m) + (1 - 0.9) * g   ->   0.9 * m_prev + (1 - 0.9) * g

Constants stay Python numbers. All else is a tensor in the generated code, t, T, lr and hyperparameters as 0-d float64 tensors, so that
division by zero gives infinity and not an exception.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
import re
from collections.abc import Callable

from neuropt.compiling.program import fold
from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import ATOM, LOG_FLOOR, MINUS, POWER, PRIMITIVES, PRODUCT, SUM
from search_space.printing import print_number
from search_space.rule import INPUTS

_LARGEST_SCALAR = 3e38
"""`clamp` refuses a Python number beyond the dtype of its tensor, which may be float32."""
LONGEST_EQUATION = 112
"""Longer ones stand in parentheses on a line of their own."""
_LARGEST_INTEGER = 1e15
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_FUNCTIONS = {name: f"torch.{name}" for name in ("abs", "exp", "log", "sqrt", "cos", "tanh", "mean")}
HELPERS = ("sign", "norm")
"""Primitives that are functions of the exported file."""
_RESERVED = (
    "u torch Optimizer self params param_groups p group state step index real number seed maximize decay_steps closure loss "
    "defaults options value uniform normal keys mix"
)
Text = tuple[str, int]
"""Python text and how tightly its outermost operator binds, in the levels of `search_space.primitives`."""


class Names:
    """Python names for the names of a rule: themselves, with underscores added where Python or the file has another use for them.

    >>> names = Names()
    >>> names.of("m"), names.of("lambda"), names.of("prev m", "m_prev")
    ('m', 'lambda_', 'm_prev')
    """

    def __init__(self) -> None:
        self.taken = {*keyword.kwlist, *dir(builtins), *_RESERVED.split(), *INPUTS, *HELPERS}
        self.given: dict[str, str] = {}

    def of(self, key: str, wish: str | None = None) -> str:
        """Return the name for `key`; the first call chooses it, as near to `wish` as can be."""
        if key not in self.given:
            name = wish or key
            while name in self.taken:
                name += "_"
            self.taken.add(name)
            self.given[key] = name
        return self.given[key]


class TorchText:
    """Writes the expressions of one rule.

    Args:
        names: for equations and hyperparameters by name, `prev NAME` for remembered values, `draw K` for random numbers.

    `helpers` collects which of `HELPERS` the text calls.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.constants: dict[str, float] = {}
        self.helpers: set[str] = set()

    def equation(self, name: str, expression: Expression) -> str:
        """Return `name = expression` as Python; expressions further down may then read the name."""
        text = self.text(expression)[0]
        value = self.constant(expression)
        if value is not None:
            self.constants[name] = value
        line = f"{self.name(name)} = {text}"
        if len(line) <= LONGEST_EQUATION:
            return line
        return "\n            ".join([f"{self.name(name)} = (", *self.terms(expression)]) + "\n        )"

    def terms(self, expression: Expression) -> list[str]:
        """Return a sum as a line for each of its terms, anything else as one line."""
        match expression:
            case Call(("+" | "-") as function, (x, y)) if self.constant(expression) is None:
                return [*self.terms(x), f"{function} {self.inside(y, SUM + 1)}"]
        return [self.inside(expression, SUM)]

    def name(self, name: str) -> str:
        return name if name in INPUTS or name == "u" else self.names.of(name)

    def constant(self, expression: Expression) -> float | None:
        """Return the value of an expression without inputs, else None."""
        match expression:
            case Number(value):
                return value
            case Symbol(name):
                return self.constants.get(name)
            case Call(function, arguments, None):
                known = [c for c in map(self.constant, arguments) if c is not None]
                return fold(function, known) if len(known) == len(arguments) else None
        return None

    def text(self, expression: Expression) -> Text:
        match expression:
            case Number(value):
                return literal(value)
            case Symbol(name):
                return self.name(name), ATOM
            case Previous(name):
                return self.names.of(f"prev {name}", f"{self.name(name)}_prev"), ATOM
            case Call(function, arguments, draw):
                folded = self.constant(expression)
                if folded is not None and not _python_agrees(function, [self.constant(a) for a in arguments], folded):
                    return literal(folded)
                return self.call(function, arguments, draw)

    def inside(self, expression: Expression, level: int) -> str:
        """Return text that may stand where operators bind as tightly as `level`."""
        text, own = self.text(expression)
        return text if own >= level else f"({text})"

    def tensor(self, expression: Expression) -> str:
        """Return text for an argument that must be a tensor."""
        text = self.text(expression)[0]
        return f"number({text})" if self.constant(expression) is not None else text

    def call(self, function: str, arguments: tuple[Expression, ...], draw: int | None) -> Text:
        level = PRIMITIVES[function].precedence
        if function in _FUNCTIONS:
            return f"{_FUNCTIONS[function]}({self.tensor(arguments[0])})", ATOM
        if function in HELPERS:
            self.helpers.add(function)
            return f"{function}({self.tensor(arguments[0])})", ATOM
        match function, arguments:
            case "neg", (x,):
                return f"-{self.inside(x, ATOM)}", MINUS
            case "**", (x, y):
                return _power(self.inside(x, ATOM), self.inside(y, POWER)), POWER
            case (("<" | "<=" | ">" | ">=" | "==" | "!="), (x, y)):
                return f"({self.relation(function, x, y)}).to(g.dtype)", ATOM
            case "log_abs", (x,):
                return f"torch.log(torch.abs({self.tensor(x)}).clamp(min={LOG_FLOOR!r}))", ATOM
            case "mod", (x, y):
                return f"torch.remainder({self.text(x)[0]}, {self.text(y)[0]})", ATOM
            case "pow_abs", (x, y):
                return _power(f"torch.abs({self.tensor(x)})", self.inside(y, POWER)), POWER
            case (("min" | "max"), (x, y)):
                return self.bounded(function, x, y), ATOM
            case "clip", (x, c):
                return self.clip(x, c), ATOM
            case "clamp", (x, low, high):
                return self.clamp(x, low, high), ATOM
            case "where", (condition, x, y):
                return self.where(condition, x, y), ATOM
            case "dot", (x, y):
                return f"torch.sum({self.inside(x, PRODUCT)} * {self.inside(y, PRODUCT + 1)})", ATOM
            case "noise", (std,):
                return f"{self.inside(std, PRODUCT)} * {self.drawn('normal', draw)}", PRODUCT
            case "drop", (x, p):
                kept = f"{self.drawn('uniform', draw)} >= {self.inside(p, SUM)}"
                return f"torch.where({kept}, {self.tensor(x)}, 0.0)", ATOM
            case _, (x, y) if level is not None:
                return f"{self.inside(x, level)} {function} {self.inside(y, level + 1)}", level
        raise ValueError(f"the torch export has no row for the primitive {function!r}; add one in torch_text.py.")

    def drawn(self, source: str, draw: int | None) -> str:
        return self.names.of(f"draw {draw}", f"{source}_{draw}")

    def relation(self, function: str, x: Expression, y: Expression) -> str:
        return f"{self.inside(x, SUM)} {function} {self.inside(y, SUM)}"

    def scalar(self, expression: Expression) -> float | None:
        """Return a constant that `clamp` takes as it is."""
        value = self.constant(expression)
        return value if value is not None and abs(value) < _LARGEST_SCALAR else None

    def bounded(self, function: str, x: Expression, y: Expression) -> str:
        """min and max: against a constant as clamp, which keeps NaN as they do."""
        if self.scalar(x) is not None:
            x, y = y, x
        if self.scalar(y) is not None:
            bound = "max" if function == "min" else "min"
            return f"{self.inside(x, ATOM)}.clamp({bound}={self.text(y)[0]})"
        return f"torch.{function}imum({self.tensor(x)}, {self.tensor(y)})"

    def clip(self, x: Expression, c: Expression) -> str:
        bound = self.scalar(c)
        if bound is not None and bound >= 0 and self.constant(x) is None:
            return f"{self.inside(x, ATOM)}.clamp({literal(-bound)[0]}, {literal(bound)[0]})"
        negative = f"-{self.inside(c, ATOM)}" if self.constant(c) is None else f"number({literal(-self.value(c))[0]})"
        return f"torch.maximum(torch.minimum({self.tensor(x)}, {self.tensor(c)}), {negative})"

    def value(self, expression: Expression) -> float:
        value = self.constant(expression)
        assert value is not None
        return value

    def clamp(self, x: Expression, low: Expression, high: Expression) -> str:
        if self.scalar(low) is not None and self.scalar(high) is not None:
            return f"{self.inside(x, ATOM)}.clamp({self.text(low)[0]}, {self.text(high)[0]})"
        return f"torch.minimum(torch.maximum({self.tensor(x)}, {self.tensor(low)}), {self.tensor(high)})"

    def where(self, condition: Expression, x: Expression, y: Expression) -> str:
        match condition:
            case Call(("<" | "<=" | ">" | ">=" | "==" | "!=") as function, (left, right)) if (
                self.constant(condition) is None
            ):
                chosen = self.relation(function, left, right)
            case _:
                known = self.constant(condition)
                chosen = f"{self.inside(condition, SUM)} != 0" if known is None else f"torch.tensor({known != 0})"
        both = self.constant(x) is not None and self.constant(y) is not None  # two Python numbers would become float32
        first, second = (self.tensor(x), self.tensor(y)) if both else (self.text(x)[0], self.text(y)[0])
        return f"torch.where({chosen}, {first}, {second})"


def _power(x: str, y: str) -> str:
    """Write x ** y, without blanks between names and numbers, as ruff does."""
    is_simple = all(re.fullmatch(r"-?[\w.]+(e-\d+)?", operand) for operand in (x, y))
    return f"{x}**{y}" if is_simple else f"{x} ** {y}"


def literal(value: float) -> Text:
    """Return a number as Python text: 2.0 -> 2, infinity -> torch.inf."""
    if not math.isfinite(value):
        return ("torch.nan", ATOM) if math.isnan(value) else ("torch.inf", ATOM) if value > 0 else ("-torch.inf", MINUS)
    text = print_number(value).replace("e+", "e")
    return text, MINUS if text.startswith("-") else ATOM


def _python_agrees(function: str, arguments: list[float | None], value: float) -> bool:
    """Whether Python arithmetic on literals gives the value that the rule means, in a size that torch takes."""
    if function == "neg":
        return True
    if function not in _ARITHMETIC or not abs(value) < _LARGEST_INTEGER:
        return False
    x, y = arguments
    assert x is not None
    assert y is not None
    try:
        return _ARITHMETIC[function](x, y) == value
    except (ZeroDivisionError, OverflowError):
        return False
