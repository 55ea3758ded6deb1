"""Expressions of a rule as lines of Python: what all targets that are Python share.

    exp(sign(g) * sign(m)) * g      ->   np.exp(np.sign(g) * np.sign(m)) * g
    0.9 * prev(m) + (1 - 0.9) * g   ->   0.9 * m_prev + (1 - 0.9) * g
    2 ** 0.5 * g                    ->   1.4142135623730951 * g

Operators, names and constants are Python's everywhere; how a function is called is a row of the target's table (`spellings`).
Constants stay Python numbers. All else is a number or array of the target's own in the generated code, so that division by zero gives
infinity and not an exception.
"""

from __future__ import annotations

import builtins
import keyword
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from neuropt.compiling.program import fold
from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import ATOM, MINUS, POWER, PRIMITIVES, PRODUCT, SUM
from search_space.printing import print_number
from search_space.rule import INPUTS

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_LEVELS = {"": 0, "sum": SUM, "term": SUM + 1, "product": PRODUCT, "factor": PRODUCT + 1, "power": POWER, "atom": ATOM}
_LARGEST_INTEGER = 1e15
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
Text = tuple[str, int]
"""Python text and how tightly its outermost operator binds, in the levels of `search_space.primitives`."""


class Names:
    """Python names for the names of a rule: themselves, with underscores added where Python or the file has another use for them.

    Args:
        reserved: names that the file uses itself, with blanks between.

    >>> names = Names("state step")
    >>> names.of("m"), names.of("lambda"), names.of("state"), names.of("prev m", "m_prev")
    ('m', 'lambda_', 'state_', 'm_prev')
    """

    def __init__(self, reserved: str) -> None:
        self.taken = {*keyword.kwlist, *dir(builtins), *reserved.split(), *INPUTS, "u"}
        self.given: dict[str, str] = {}

    def of(self, key: str, wish: str | None = None) -> str:
        """Return the name for `key`; the first call chooses it, as near to `wish` as can be."""
        if key not in self.given:
            name = (wish or key).lstrip("_")  # fields of named tuples begin with a letter
            name = name if name.isidentifier() else f"x{name}"
            while name in self.taken:
                name += "_"
            self.taken.add(name)
            self.given[key] = name
        return self.given[key]


@dataclass(frozen=True, slots=True)
class Language:
    """How one target writes what is not the same in all of Python.

    Args:
        spellings: for each function of the language its call, a format string whose fields are the arguments, as in
            "np.sum({0:product} * {1:factor})": a field names the operators that may stand in it without parentheses, all if it names none.
        reserved: names that the file uses itself, with blanks between.
        helpers: functions of the language that are functions of the file.
        infinity: Python text of infinity.
        nan: Python text of NaN.
        pi: Python text of pi, empty where the library has no name for it.
    """

    spellings: Mapping[str, str]
    reserved: str
    helpers: tuple[str, ...] = ()
    infinity: str = "np.inf"
    nan: str = "np.nan"
    pi: str = "np.pi"


class ExpressionText:
    """Writes the expressions of one rule.

    Args:
        language: of the target.
        names: for equations and hyperparameters by name, `prev NAME` for remembered values, `draw K` for random numbers.

    `helpers` collects which of the language's helpers the text calls.
    """

    def __init__(self, language: Language, names: Names) -> None:
        self.language = language
        self.names = names
        self.constants: dict[str, float] = {}
        self.helpers: set[str] = set()

    def equation(self, name: str, expression: Expression) -> str:
        """Return `name = expression` as Python; expressions further down may then read the name."""
        text = self.text(expression)[0]
        value = self.constant(expression)
        if value is not None:
            self.constants[name] = value
        return f"{self.name(name)} = {text}"

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

    def literal(self, value: float) -> Text:
        """Return a number as Python text: 2.0 -> 2, infinity -> np.inf."""
        if math.isnan(value):
            return self.language.nan, ATOM
        if math.isinf(value):
            return (self.language.infinity, ATOM) if value > 0 else (f"-{self.language.infinity}", MINUS)
        text = print_number(value).replace("e+", "e")
        return text, MINUS if text.startswith("-") else ATOM

    def text(self, expression: Expression) -> Text:
        match expression:
            case Number(math.pi) if self.language.pi:
                return self.language.pi, ATOM
            case Number(value) if value == 2 * math.pi and self.language.pi:
                return f"2 * {self.language.pi}", PRODUCT
            case Number(value):
                return self.literal(value)
            case Symbol(name):
                return self.name(name), ATOM
            case Previous(name):
                return self.names.of(f"prev {name}", f"{self.name(name)}_prev"), ATOM
            case Call(function, arguments, draw):
                folded = self.constant(expression)
                if folded is not None and not _python_agrees(function, [self.constant(a) for a in arguments], folded):
                    return self.literal(folded)
                return self.call(function, arguments, draw)

    def inside(self, expression: Expression, level: int) -> str:
        """Return text that may stand where operators bind as tightly as `level`."""
        text, own = self.text(expression)
        return text if own >= level else f"({text})"

    def call(self, function: str, arguments: tuple[Expression, ...], draw: int | None) -> Text:
        level = PRIMITIVES[function].precedence
        match function, arguments:
            case "neg", (Number(value),):
                return self.literal(-value)
            case "neg", (x,):
                return f"-{self.inside(x, POWER)}", MINUS
            case "**", (x, y):
                return f"{self.inside(x, ATOM)} ** {self.inside(y, MINUS)}", POWER
            case "where", (condition, x, y):
                return self.where(condition, x, y), ATOM
            case "clip", (x, c):
                arguments = (x, c, Call("neg", (c,)))
                function = "clip by a positive number" if (self.constant(c) or -1.0) > 0 else "clip"
            case "noise", (std,):
                return f"{self.inside(std, PRODUCT)} * {self.drawn('normal', draw)}", PRODUCT
            case "drop", (x, p):
                kept = f"{self.drawn('uniform', draw)} >= {self.inside(p, SUM)}"
                return self.spelled("where", kept, self.argument(x), "0.0"), ATOM
            case _, (x, y) if function in COMPARISONS:
                return self.spelled("where", self.relation(function, x, y), "1.0", "0.0"), ATOM
            case _, (x, y) if level is not None:
                return f"{self.inside(x, level)} {function} {self.inside(y, level + 1)}", level
        if function in self.language.helpers:
            self.helpers.add(function)
        return self.spelled(function, *map(self.argument, arguments)), ATOM

    def spelled(self, function: str, *arguments: object) -> str:
        if function not in self.language.spellings:
            raise ValueError(f"the export has no spelling of the primitive {function!r}; add one in spellings.py.")
        return self.language.spellings[function].format(*arguments)

    def argument(self, expression: Expression) -> _Argument:
        return _Argument(self, expression)

    def drawn(self, source: str, draw: int | None) -> str:
        return self.names.of(f"draw {draw}", f"{source}_{draw}")

    def relation(self, function: str, x: Expression, y: Expression) -> str:
        return f"{self.inside(x, SUM)} {function} {self.inside(y, SUM)}"

    def condition(self, expression: Expression) -> str:
        """Return the text of a truth value: a comparison, or whether a number is not 0."""
        match expression:
            case Call(function, (x, y)) if function in COMPARISONS and self.constant(expression) is None:
                return self.relation(function, x, y)
        value = self.constant(expression)
        return f"{self.inside(expression, SUM)} != 0" if value is None else str(value != 0)

    def where(self, condition: Expression, x: Expression, y: Expression) -> str:
        both = self.constant(x), self.constant(y)
        if None not in both:  # two whole numbers would become integers
            first, second = (self.literal(value)[0] for value in both if value is not None)
            integers = [text + ".0" if text.lstrip("-").isdecimal() else text for text in (first, second)]
            return self.spelled("where", self.condition(condition), *integers)
        return self.spelled("where", self.condition(condition), self.argument(x), self.argument(y))


@dataclass(frozen=True, slots=True)
class _Argument:
    """An expression as a field of a format string."""

    writer: ExpressionText
    expression: Expression

    def __format__(self, level: str) -> str:
        return self.writer.inside(self.expression, _LEVELS[level])


def _python_agrees(function: str, arguments: list[float | None], value: float) -> bool:
    """Whether Python arithmetic on literals gives the value that the rule means, in a size that all targets take."""
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
