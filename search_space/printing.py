"""Print expressions as the text that parses back to them.

The printed form of a node comes from its row in `primitives`: an operator with a precedence, or a function call.
"""

from __future__ import annotations

from typing import assert_never

from search_space.expression import Call, Expression, Number, Previous, Symbol
from search_space.primitives import ATOM, MINUS, POWER, PRIMITIVES


def print_number(value: float) -> str:
    """Return the shortest decimal text that reads back as `value`: 2.0 -> 2, 1e-08 -> 1e-08."""
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 and str(value)[0:2] != "-0" else repr(value)


def print_expression(expression: Expression, next_draw: list[int] | None = None) -> str:
    """Return `expression` as rule text.

    A draw prints its number only where it differs from its place in the text; `next_draw` is that running place, shared by the
    equations of one rule.

    >>> print_expression(Call("*", (Call("+", (Symbol("g"), Number(1.0))), Symbol("w"))))
    '(g + 1) * w'
    """
    return _text(expression, next_draw if next_draw is not None else [0])


def _precedence(expression: Expression) -> int:
    match expression:
        case Number(value):
            return MINUS if print_number(value).startswith("-") else ATOM
        case Call(function) if PRIMITIVES.get(function) is not None:
            return PRIMITIVES[function].precedence or ATOM
        case _:
            return ATOM


def _inside(expression: Expression, at_least: int, next_draw: list[int]) -> str:
    text = _text(expression, next_draw)
    return text if _precedence(expression) >= at_least else f"({text})"


def _text(expression: Expression, next_draw: list[int]) -> str:
    match expression:
        case Number(value):
            return print_number(value)
        case Symbol(name):
            return name
        case Previous(name, start):
            return f"prev({name})" if start == 0 else f"prev({name}, {print_number(start)})"
        case Call("neg", (operand,)):
            # -(2) keeps a negated number apart from the number -2
            is_negation = isinstance(operand, Call) and operand.function == "neg"
            level = ATOM if isinstance(operand, Number) else MINUS if is_negation else POWER
            text = _inside(operand, level, next_draw)
            return f"-({text})" if isinstance(operand, Number) and not text.startswith("(") else f"-{text}"
        case Call(function, (left, right)) if function in PRIMITIVES and PRIMITIVES[function].precedence:
            level = PRIMITIVES[function].precedence or ATOM
            grows_left, grows_right = (1, 0) if function == "**" else (0, 1)
            if level == min(p.precedence for p in PRIMITIVES.values() if p.precedence):
                grows_left = 1  # comparisons do not chain
            first = _inside(left, level + grows_left, next_draw)
            return f"{first} {function} {_inside(right, level + grows_right, next_draw)}"
        case Call(function, arguments, draw):
            parts = [_text(argument, next_draw) for argument in arguments]
            if draw is not None:
                if draw != next_draw[0]:
                    parts.append(str(draw))
                next_draw[0] += 1
            return f"{function}({', '.join(parts)})"
        case _:
            assert_never(expression)
