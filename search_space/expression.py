"""The four kinds of node a rule is made of, and ways to walk them.

`0.9 * prev(m) + 0.1 * g` is

    Call("+", (Call("*", (Number(0.9), Previous("m"))), Call("*", (Number(0.1), Symbol("g")))))

Nodes are frozen values without meaning: what `*` does is a row of `primitives`, and evaluating, printing, simplifying and compiling
are one module each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never


@dataclass(frozen=True, slots=True)
class Number:
    """A finite constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """A read of an input (g, w, t, T, lr), a hyperparameter, or an equation further up."""

    name: str


@dataclass(frozen=True, slots=True)
class Previous:
    """The value that the equation `name` had one step ago; `start` before the first step."""

    name: str
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """A primitive applied to arguments.

    `draw` numbers the occurrences of `noise` and `drop` in a rule: each occurrence is its own stream of random numbers, so two
    calls that differ only in `draw` are different values.
    """

    function: str
    arguments: tuple[Expression, ...]
    draw: int | None = None


Expression = Number | Symbol | Previous | Call


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield `expression` and everything in it, in the order of its text, operators before their arguments."""
    stack = [expression]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Call):
            stack.extend(reversed(node.arguments))


def depth(expression: Expression) -> int:
    """Return the number of nodes on the longest path down, without recursion, so that no input can exhaust the stack."""
    deepest, stack = 0, [(expression, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        if isinstance(node, Call):
            stack.extend((argument, level + 1) for argument in node.arguments)
    return deepest


def rebuild(expression: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """Apply `change` to every node, innermost first.

    >>> rebuild(Call("neg", (Symbol("g"),)), lambda node: Symbol("w") if node == Symbol("g") else node)
    Call(function='neg', arguments=(Symbol(name='w'),), draw=None)
    """
    match expression:
        case Number() | Symbol() | Previous():
            return change(expression)
        case Call():
            arguments = tuple([rebuild(argument, change) for argument in expression.arguments])
            same = arguments == expression.arguments
            return change(expression if same else Call(expression.function, arguments, expression.draw))
        case _:
            assert_never(expression)


def substitute(expression: Expression, values: Mapping[str, Expression]) -> Expression:
    """Replace every `Symbol` that `values` names."""
    return rebuild(expression, lambda node: values.get(node.name, node) if isinstance(node, Symbol) else node)
