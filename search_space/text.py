"""Read rules from text: a closed grammar, read by hand, that never evaluates anything.

    rule       = line { (newline | ";") line }        a line alone without "=" is `u = ...`
    line       = name "=" comparison                  a number alone on the right is a hyperparameter
    comparison = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum ]
    sum        = product { ("+" | "-") product }
    product    = unary { ("*" | "/") unary }
    unary      = "-" unary | power
    power      = atom [ ("**" | "^") unary ]          right associative, binds tighter than the minus before it
    atom       = number | name | name "(" comparison { "," comparison } ")" | "(" comparison ")"

Comments run from `#` to the end of the line. Printing is `Rule.text`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import PRIMITIVES
from search_space.rule import MAX_DEPTH, RESULT, Equation, Rule, RuleError, check_arguments, is_name

MAX_LENGTH = 50_000
MAX_NUMBER_LENGTH = 40
MAX_NESTING = 2 * MAX_DEPTH + 2
"""Levels of the parser: a call or a pair of parentheses is two of them. What is nested deeper is refused before it is read."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|\#[^\n]*)"
    r"|(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<symbol>\*\*|<=|>=|==|!=|[-+*/^<>=(),])"
    r"|(?P<end>[\n;])",
    re.ASCII,
)
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Args:
        text: equations, one a line or separated by `;`, or a bare expression, which is `u = ...`.

    Raises:
        RuleError: the text with a caret under the fault, and what would be right.

    >>> parse_rule("exp(sign(g) * sign(m)) * g").text
    'exp(sign(g) * sign(m)) * g'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, but got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise RuleError(f"a rule has at most {MAX_LENGTH} characters, but this text has {len(text)}: {text[:40]!r}...")
    parser = _Parser(text)
    lines = parser.lines()
    if not lines:
        raise parser.error("an update rule was expected, such as u = g", len(text))
    return _assemble(lines, parser)


def parse_expression(text: str) -> Expression:
    """Read one expression, with any names in it; vocabularies of search spaces are written so.

    >>> parse_expression("g ^ 2")
    Call(function='**', arguments=(Symbol(name='g'), Number(value=2.0)), draw=None)
    """
    if len(text) > MAX_LENGTH:
        raise RuleError(f"an expression has at most {MAX_LENGTH} characters, but this text has {len(text)}")
    parser = _Parser(text)
    expression = parser.comparison()
    if parser.token.kind != "eof":
        raise parser.error(f"the expression ends before {parser.token.text!r}")
    return expression


def _assemble(lines: list[tuple[str, Expression, int]], parser: _Parser) -> Rule:
    hyperparameters: list[tuple[str, float]] = []
    equations: list[Equation] = []
    for name, expression, position in lines:
        if isinstance(expression, Number) and name != RESULT:
            hyperparameters.append((name, expression.value))
        else:
            equations.append(Equation(name, expression))
        if name in {n for n, _ in hyperparameters[:-1]} | {e.name for e in equations[:-1]}:
            raise parser.error(f"{name!r} is defined twice; give the second one another name", position)
    try:
        return Rule(tuple(hyperparameters), tuple(equations))
    except RuleError as error:
        raise parser.error(str(error), parser.position_of_name(str(error))) from None


def _excerpt(text: str, position: int) -> str:
    """Return the line of the fault, at most 80 characters of it, with a caret under the fault."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    first = max(start, position - 40)
    shown = "".join(c if c.isprintable() else " " for c in text[first : min(end, first + 80)])
    return f"  {shown}\n  {' ' * (position - first)}^"


class _Parser:
    """Recursive descent over tokens; every level counts towards the depth limit."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0
        self.token = self.scan()

    def error(self, message: str, position: int | None = None) -> RuleError:
        at = self.token.position if position is None else position
        return RuleError(f"{message}\n{_excerpt(self.text, min(at, len(self.text)))}")

    def position_of_name(self, message: str) -> int:
        """Where the name that a message quotes first stands in the text; the end of the text if it quotes none."""
        quoted = re.match(r"'([A-Za-z_]\w*)'|prev\((\w+)\)", message)
        name = quoted and (quoted[1] or quoted[2])
        found = re.search(rf"(?<!\w){name}(?!\w)", self.text) if name else None
        return found.start() if found else len(self.text)

    def scan(self) -> _Token:
        while True:
            if self.position >= len(self.text):
                return _Token("eof", "the end of the text", len(self.text))
            match = _TOKEN.match(self.text, self.position)
            if match is None:
                character = self.text[self.position]
                shown = character if character.isprintable() else repr(character)
                raise RuleError(
                    f"{shown!r} (U+{ord(character):04X}) is not part of the rule language; rules are ASCII: names, numbers, "
                    f"operators and calls\n{_excerpt(self.text, self.position)}"
                )
            token = _Token(match.lastgroup or "", match.group(), self.position)
            self.position = match.end()
            if token.kind != "space":
                return token

    def next(self) -> _Token:
        token, self.token = self.token, self.scan()
        return token

    def accept(self, *symbols: str) -> str | None:
        return self.next().text if self.token.kind == "symbol" and self.token.text in symbols else None

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.error(f"{symbol!r} was expected, but got {self.token.text!r}")

    def lines(self) -> list[tuple[str, Expression, int]]:
        """Read (name, expression, position) for each line."""
        found: list[tuple[str, Expression, int]] = []
        while True:
            while self.token.kind == "end":
                self.next()
            if self.token.kind == "eof":
                return found
            found.append(self.line())
            if self.token.kind not in ("end", "eof"):
                raise self.error(f"an operator or the end of the line was expected, but got {self.token.text!r}")

    def line(self) -> tuple[str, Expression, int]:
        position = self.token.position
        left = self.comparison()
        if not self.accept("="):
            return RESULT, left, position
        if not isinstance(left, Symbol):
            raise self.error("the left of '=' must be a name", position)
        if not is_name(left.name):
            raise self.error(
                f"{left.name!r} cannot be defined: it is an input or a function; choose another name",
                position,
            )
        return left.name, self.comparison(), position

    def comparison(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"the text is nested deeper than {MAX_DEPTH}; name its inner parts as equations")
        left = self.sum()
        if operator := self.accept(*_COMPARISONS):
            left = Call(operator, (left, self.sum()))
            if self.token.text in _COMPARISONS:
                raise self.error("comparisons do not chain; write (a < b) * (b < c)")
        self.depth -= 1
        return left

    def sum(self) -> Expression:
        left = self.product()
        while operator := self.accept("+", "-"):
            left = Call(operator, (left, self.product()))
        return left

    def product(self) -> Expression:
        left = self.unary()
        while operator := self.accept("*", "/"):
            left = Call(operator, (left, self.unary()))
        return left

    def unary(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"the text is nested deeper than {MAX_DEPTH}; name its inner parts as equations")
        if self.accept("-"):
            is_literal = self.token.kind == "number"
            operand = self.unary()
            negated = is_literal and isinstance(operand, Number)
            result: Expression = (
                Number(-operand.value) if negated and isinstance(operand, Number) else Call("neg", (operand,))
            )
        else:
            result = self.power()
        self.depth -= 1
        return result

    def power(self) -> Expression:
        base = self.atom()
        if self.accept("**", "^"):
            return Call("**", (base, self.unary()))
        return base

    def atom(self) -> Expression:
        token = self.token
        if token.kind == "number":
            return self.number(self.next())
        if token.kind == "name":
            self.next()
            return self.call(token) if self.token.text == "(" else Symbol(self.known_length(token))
        if self.accept("("):
            inside = self.comparison()
            self.expect(")")
            return inside
        raise self.error(f"a number, a name or '(' was expected, but got {token.text!r}")

    def known_length(self, token: _Token) -> str:
        if len(token.text) > 64:
            raise self.error(f"a name has at most 64 characters, but this one has {len(token.text)}", token.position)
        return token.text

    def number(self, token: _Token) -> Number:
        if len(token.text) > MAX_NUMBER_LENGTH or not math.isfinite(float(token.text)):
            raise self.error(
                f"a number must be finite and at most {MAX_NUMBER_LENGTH} characters long, but got {token.text[:50]}",
                token.position,
            )
        return Number(float(token.text))

    def call(self, name: _Token) -> Expression:
        self.expect("(")
        arguments = [] if self.token.text == ")" else [self.comparison()]
        while self.accept(","):
            arguments.append(self.comparison())
        self.expect(")")
        if name.text == "prev":
            return self.previous(name, arguments)
        draw: int | None = None
        row = PRIMITIVES.get(name.text)
        if row is not None and row.kind == "drawing" and len(arguments) == row.arity + 1:
            last = arguments.pop()
            if not isinstance(last, Number) or not last.value.is_integer() or last.value < 0:
                raise self.error(f"the number of a draw in {name.text} must be a whole number from 0", name.position)
            draw = int(last.value)
        try:
            check_arguments(name.text, len(arguments))
        except RuleError as error:
            raise self.error(str(error), name.position) from None
        return Call(name.text, tuple(arguments), draw)

    def previous(self, name: _Token, arguments: list[Expression]) -> Previous:
        match arguments:
            case [Symbol(remembered)]:
                return Previous(remembered)
            case [Symbol(remembered), Number(start)]:
                return Previous(remembered, start)
        raise self.error(
            "prev takes the name of an equation, and optionally the number it starts at: prev(m), prev(m, 1)",
            name.position,
        )
