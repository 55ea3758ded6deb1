"""Find a string of a search space that names a given rule.

The rule and the vocabulary are compared as graphs, so that names, order and shortenings do not matter: `m / (1 - 0.9 ** (t + 1))` is
the operand `mhat`. A value is an operand, an earlier result, or a group b(u1(a), u2(c)) whose two sides are found in the same way; the
search goes from the update down, as far as the groups reach. A rule of fewer groups than the space has is handed on by `x` groups.

Two things are not as the graph has them: in a rule that remembers its update, `u = 0.9 * prev(u) + adam`, the previous update is the
operand `prev(u)`; and `x + 0 * w`, a weight decay that is switched off, is x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from search_space.expression import Expression, Previous, Symbol, rebuild, substitute
from search_space.graph import Node, expression_node, make_node, order, rule_graph
from search_space.identity import identify_node
from search_space.primitives import COMMUTATIVE
from search_space.rule import RESULT, Rule

MAX_VISITS = 20_000
Group = tuple[int, int, int, int, int]
Bindings = dict[str, Node]
_E = make_node("number", (), math.e).value  # as graphs hold it
_PREVIOUS_UPDATE = Symbol("the previous update")  # an input, to the patterns


@dataclass(frozen=True, slots=True)
class _Found:
    """Groups found so far, the keys of their values, and the token of the value last looked for."""

    groups: tuple[Group, ...] = ()
    keys: tuple[bytes, ...] = ()
    token: int = -1


class Encoder:
    """Searches the strings of one vocabulary."""

    def __init__(
        self, groups: int, operands: Sequence[Expression], unary: Sequence[Expression], binary: Sequence[Expression]
    ) -> None:
        self.groups = groups
        operands = [rebuild(e, _marked) for e in operands]
        self.operands = {expression_node(e).key: token for token, e in reversed(list(enumerate(operands)))}
        self.count = len(operands)
        self.sides: dict[bytes, list[tuple[int, int]]] = {}  # what a function makes of an operand, simplified
        for u, function in enumerate(unary):
            for token, operand in enumerate(operands):
                key = expression_node(substitute(function, {"x": operand})).key
                self.sides.setdefault(key, []).append((u, token))
        self.unary = [expression_node(e) for e in unary]
        self.binary = [expression_node(e) for e in binary]
        self.visits = 0

    def encode(
        self, rule: Rule, decode: Callable[[Sequence[int]], Rule], allows: Callable[[Sequence[int]], bool]
    ) -> tuple[int, ...] | None:
        """Return the first allowed string found that decodes to `rule`."""
        root = rule_graph(rule)
        self.visits = 0
        for form in _whole_forms(root):
            for found in self.group(form, _Found(), 0):
                for tokens in self.padded(found):
                    if allows(tokens) and _same(rule_graph(decode(tokens)), root):
                        return tokens
        return None

    def padded(self, found: _Found) -> Iterator[tuple[int, ...]]:
        """Yield the string of `found`, handed on through groups that keep its value."""
        groups = list(found.groups)
        keeps = [(b, u) for b, x in enumerate(self.binary) for u, y in enumerate(self.unary) if _is_x(x) and _is_x(y)]
        if len(groups) < self.groups and not keeps:
            return
        while len(groups) < self.groups:
            b, u = keeps[0]
            groups.append((self.count + len(groups) - 1, 0, u, u, b))
        yield tuple(token for group in groups for token in group)

    def operand(self, node: Node, found: _Found, waiting: int) -> Iterator[_Found]:
        """Yield ways to have the value of `node` as an operand; `waiting` groups are still to be closed above it."""
        self.visits += 1
        if self.visits > MAX_VISITS:
            return
        if node.key in self.operands:
            yield _Found(found.groups, found.keys, self.operands[node.key])
        elif node.key in found.keys:
            yield _Found(found.groups, found.keys, self.count + found.keys.index(node.key))
        elif len(found.groups) + waiting < self.groups:
            yield from self.group(node, found, waiting)

    def side(self, node: Node, found: _Found, waiting: int) -> Iterator[tuple[int, _Found]]:
        """Yield (unary function, operand) pairs for the value of `node`."""
        for u, token in self.sides.get(node.key, ()):
            yield u, _Found(found.groups, found.keys, token)
        for u, pattern in enumerate(self.unary):
            for bindings in _match(pattern, node, {}):
                for operand in self.operand(bindings["x"], found, waiting):
                    yield u, operand

    def group(self, node: Node, found: _Found, waiting: int) -> Iterator[_Found]:
        """Yield ways to make the value of `node` as one more group."""
        for b, pattern in enumerate(self.binary):
            for bindings in _match(pattern, node, {}):
                if _is_x(pattern) and not self.worth_keeping(node):
                    continue
                for u1, left in self.side(bindings["x"], found, waiting + 1):
                    if "y" not in bindings:
                        other = 1 if left.token == 0 and self.count > 1 else 0
                        yield self.closed(left, (left.token, other, u1, 0, b), node)
                        continue
                    for u2, right in self.side(bindings["y"], left, waiting + 1):
                        yield self.closed(right, (left.token, right.token, u1, u2, b), node)

    def worth_keeping(self, node: Node) -> bool:
        """Whether a group that only keeps its left leads on: over an operand, or by a unary function."""
        return node.key in self.sides or any(
            not _is_x(pattern) and any(True for _ in _match(pattern, node, {})) for pattern in self.unary
        )

    def closed(self, found: _Found, group: Group, node: Node) -> _Found:
        groups = (*found.groups, group)
        return _Found(groups, (*found.keys, node.key), self.count + len(groups) - 1)


def _marked(expression: Expression) -> Expression:
    match expression:
        case Previous(name, start) if name == RESULT and start == 0.0:
            return _PREVIOUS_UPDATE
        case _:
            return expression


def _whole_forms(root: Node) -> Iterator[Node]:
    """Yield an update as what vocabularies are made of."""
    root = _changed(root, _without_nothing)
    yield root
    match root:
        case Node("recurrence", (body,), (0, (0.0,))):  # u = ... prev(u) ...
            yield _changed(body, _unrolled)


def _without_nothing(node: Node) -> Node:
    match node:
        case Node("+", (x, Node("*", (a, b)))) | Node("+", (Node("*", (a, b)), x)) if _is_zero(a) or _is_zero(b):
            return x  # x + 0 * w: one value where w is finite
        case _:
            return node


def _is_zero(node: Node) -> bool:
    return node.function == "number" and node.value == 0.0


def _unrolled(node: Node) -> Node:
    return (
        make_node("input", (), _PREVIOUS_UPDATE.name)
        if node.function == "previous" and node.value == (0, 0.0)
        else node
    )


def _changed(root: Node, change: Callable[[Node], Node]) -> Node:
    """Return the graph with `change` applied to every node, arguments first; what is inside of a recurrence stays."""
    known: dict[bytes, Node] = {}
    for node, _ in order(root, lambda n: n.function == "recurrence"):
        arguments = node.arguments if node.function == "recurrence" else tuple([known[a.key] for a in node.arguments])
        same = all(a is b for a, b in zip(arguments, node.arguments, strict=True))
        known[node.key] = change(node if same else make_node(node.function, arguments, node.value))
    return known[root.key]


def _is_x(pattern: Node) -> bool:
    return pattern.function == "input" and pattern.value == "x"


def _match(pattern: Node, node: Node, bindings: Bindings) -> Iterator[Bindings]:
    """Yield the ways in which `pattern`, a graph with inputs x and y, is `node`."""
    if pattern.function == "input" and pattern.value in ("x", "y"):
        bound = bindings.get(str(pattern.value))
        if node.is_open:
            return  # a part of a recurrence is no value
        if bound is None:
            yield bindings | {str(pattern.value): node}
        elif bound.key == node.key:
            yield bindings
    elif pattern.key == node.key or (pattern.function == node.function and pattern.function in ("normal", "uniform")):
        yield bindings
    elif (rest := _subtracted(pattern, node)) is not None:
        yield from _match(*rest, bindings)
    else:
        for form in _forms(node):
            if pattern.function == form.function and pattern.arguments and pattern.value == form.value:
                yield from _match_all(pattern.arguments, form.arguments, bindings)
                if pattern.function in COMMUTATIVE:
                    yield from _match_all(pattern.arguments, form.arguments[::-1], bindings)


def _subtracted(pattern: Node, node: Node) -> tuple[Node, Node] | None:
    """Where `node` is a number and `pattern` is y + c: what y is, since simplification added the two."""
    match pattern, node:
        case (
            Node("+", (Node("number", value=float(c)), y)) | Node("+", (y, Node("number", value=float(c)))),
            Node("number", value=float(total)),
        ):
            return y, make_node("number", (), total - c)
        case _:
            return None


def _forms(node: Node) -> Iterator[Node]:
    """Yield `node` and what simplification may have made it from, by moving a minus sign."""
    yield node
    if node.never_negative and not node.is_open:
        yield make_node("abs", (node,))
    match node.function, node.arguments:
        case "**", (Node("number", value=float(c)), b) if c == _E:  # e ** b is exp(b)
            yield make_node("exp", (b,))
        case "-", (a, b):  # a - b is a + (-b)
            yield make_node("+", (a, _negative(b)))
        case "+", (a, b):  # a + b is a - (-b)
            yield make_node("-", (a, _negative(b)))
            yield make_node("-", (b, _negative(a)))
        case "*", (Node("*", (a, b)), c) | (c, Node("*", (a, b))):  # (a b) c is a (b c) and b (a c)
            yield make_node("*", (a, make_node("*", (b, c))))
            yield make_node("*", (b, make_node("*", (a, c))))
        case "*", (Node("number", value=float(c)), b) | (b, Node("number", value=float(c))) if c < 0.0:
            yield make_node("neg", (make_node("*", (make_node("number", (), -c), b)),))
        case "neg", (Node("*" | "/" as function, (a, b)),):  # -(a b) is (-a) b and a (-b)
            yield make_node(function, (_negative(a), b))
            yield make_node(function, (a, _negative(b)))
        case "neg", (Node("+", (a, b)),):  # -(a + b) is (-a) - b
            yield make_node("-", (_negative(a), b))
            yield make_node("-", (_negative(b), a))
        case "neg", (Node(function, (a, *rest)),) if function in ("drop", "clip", "sign"):
            yield make_node(function, (_negative(a), *rest))


def _negative(node: Node) -> Node:
    return node.arguments[0] if node.function == "neg" else make_node("neg", (node,))


def _match_all(patterns: Sequence[Node], nodes: Sequence[Node], bindings: Bindings) -> Iterator[Bindings]:
    if not patterns:
        yield bindings
        return
    for first in _match(patterns[0], nodes[0], bindings):
        yield from _match_all(patterns[1:], nodes[1:], first)


def _same(a: Node, b: Node) -> bool:
    return a.key == b.key or identify_node(a).exact == identify_node(b).exact
