"""A rule as a graph of values in which names, order and shortenings no longer show.

`beta = 0.9; a = beta * prev(a) + (1 - beta) * g; u = sign(a) * g` and `g * sign(m)` are one graph:

    *(g, sign(recurrence(+(*(0.9, previous), *(0.1, g)))))

Equal values are one node, arguments that commute are sorted, hyperparameters are their numbers, and draws are numbered by what they
are used for. Each node has a key, a hash of all below it that is the same in every process; the key of the update is the structural
identity of the rule, and the keys let values computed for one rule serve the next (see `trajectory`).
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from search_space import sugar
from search_space.expression import Call, Expression, Number, Previous, Symbol, substitute, walk
from search_space.primitives import COMMUTATIVE, PRIMITIVES
from search_space.rule import DECAYS, READY, REMEMBERING, RESULT, Equation, Rule
from search_space.simplifying import simplify_equations

_STREAMS = {"noise": "normal", "drop": "uniform"}


@dataclass(eq=False, slots=True)
class Node:
    """One value of a rule; treat as frozen (it is not declared so because thousands are made a second).

    Args:
        function: a primitive, or one of
            `number` and `input`; `normal` and `uniform`, the random numbers of one draw;
            `recurrence`, a remembered value, whose arguments are what it becomes (of all values that recur together);
            `previous`, inside a recurrence, its value one step ago; `delayed`, outside, the argument's value one step ago.
        arguments: the nodes it is computed from.
        value: of a number; the name of an input; the number of a draw; (which, starts) of a recurrence; the start of a delayed value;
            (which, start) of a previous one.
        key: hash of all that.
        is_open: whether it contains a `previous` whose recurrence is not yet closed around it.
        uses_gradient: whether g is below it.
        never_negative: whether its value is positive, 0 (not -0) or NaN for all inputs, as far as its form tells; for an open node,
            if that holds for what it reads of the past.
    """

    function: str
    arguments: tuple[Node, ...]
    value: object
    key: bytes
    is_open: bool = field(default=False)
    uses_gradient: bool = field(default=False)
    never_negative: bool = field(default=False)


def make_node(function: str, arguments: tuple[Node, ...] = (), value: object = None) -> Node:
    """Return a node with its key; numbers count as equal when 12 digits agree (1 - 0.9 is 0.1)."""
    if function in COMMUTATIVE and arguments[0].key > arguments[1].key:
        arguments = (arguments[1], arguments[0])
    shown = value
    if isinstance(value, float):
        # the value is what the key says, else a kept value would depend on which of two equal keys came first
        shown = f"{value:.12g}"
        value = float(shown)
    key = blake2b(f"{function} {shown}".encode() + b"".join([a.key for a in arguments]), digest_size=8).digest()
    closes = function == "recurrence"
    is_open = function == "previous" or (not closes and any(a.is_open for a in arguments))
    uses_gradient = (function == "input" and value == "g") or any(a.uses_gradient for a in arguments)
    never_negative = _is_never_negative(function, arguments, value)
    return Node(function, arguments, value, key, is_open, uses_gradient, never_negative)


_NEVER_NEGATIVE = frozenset({"abs", "exp", "pow_abs", "norm"})
_KEEP_POSITIVE = frozenset({"+", "*", "/", "max", "min"})


def _is_never_negative(function: str, arguments: tuple[Node, ...], value: Any) -> bool:
    """Squares are never negative, so are averages and maxima of squares, by induction over the steps, and bias corrections."""
    if function in _KEEP_POSITIVE:
        return arguments[0].never_negative and arguments[1].never_negative
    match function:
        case "number":
            return math.copysign(1.0, value) > 0.0
        case "input":
            return value in ("t", "T")
        case "previous":
            return True
        case "recurrence":
            return all(a.never_negative for a in arguments) and all(
                math.copysign(1.0, start) > 0.0 for start in value[1]
            )
        case "delayed":
            return arguments[0].never_negative and math.copysign(1.0, value) > 0.0
        case "**":  # an even power
            power = arguments[1].value
            return isinstance(power, float) and power > 0.0 and power % 2.0 == 0.0
        case "-":  # 1 - beta^(t+1)
            one, power = arguments
            return (
                one.value == 1.0
                and power.function == "**"
                and _is_share(power.arguments[0])
                and power.arguments[1].never_negative
            )
        case _:
            return function in _NEVER_NEGATIVE


def _is_share(node: Node) -> bool:
    return isinstance(node.value, float) and 0.0 <= node.value <= 1.0


def rule_graph(rule: Rule) -> Node:
    """Return the node of the update of `rule`."""
    equations = simplify_equations(rule.equations)
    if rule.hyperparameters:
        values: dict[str, Expression] = {name: Number(value) for name, value in rule.hyperparameters}
        equations = tuple(Equation(e.name, substitute(e.expression, values)) for e in equations)
        equations = simplify_equations(equations)
    if any(isinstance(node, Previous) for e in equations for node in walk(e.expression)):
        # what is remembered is read by name, so shortenings must become equations
        equations = sugar.expand(Rule((), equations)).equations
    return _Builder(equations, _stream_numbers(equations)).update()


def expression_node(expression: Expression) -> Node:
    """Return the node of an expression in which names that a rule would not know, such as x, are inputs."""
    return _Builder(simplify_equations((Equation(RESULT, expression),)), {}).update()


@cache
def ready_node(name: str) -> Node:
    """Return the node of a ready name or of a decay that stands alone."""
    return rule_graph(sugar.expand(Rule((), (Equation(RESULT, Symbol(name)),))))


def group_key(recurrence: Node) -> bytes:
    """Return a key of the values that recur together with `recurrence`, itself among them."""
    return b"".join([body.key for body in recurrence.arguments])


def order(root: Node, outer: Callable[[Node], bool]) -> Iterator[tuple[Node, bytes]]:
    """Yield every node once, arguments first, each with the key of the recurrences it is inside of; nothing below `outer` nodes.

    Nodes that read `previous` are yielded once for each recurrence, since what they read differs.
    """
    seen: set[tuple[bytes, bytes]] = set()
    stack: list[tuple[Node, bytes, bool]] = [(root, b"", False)]
    while stack:
        node, group, ready = stack.pop()
        group = group if node.is_open else b""
        if ready:
            yield node, group
            continue
        if (node.key, group) not in seen:
            seen.add((node.key, group))
            stack.append((node, group, True))
            if not outer(node):
                inside = group_key(node) if node.function == "recurrence" else group
                stack.extend([(argument, inside, False) for argument in node.arguments])


# -- building ----------------------------------------------------------------------------------------------------------------------


class _Builder:
    """Turns the simplified equations of one rule into nodes.

    Args:
        streams: the canonical number of each draw; a draw that is missing gets 0, and is noted in `drawn`.
    """

    def __init__(self, equations: tuple[Equation, ...], streams: Mapping[int, int]) -> None:
        self.equations = equations
        self.streams = streams
        self.drawn: dict[int, tuple[str, bytes, bytes]] = {}
        self.closed: dict[str, Node] = {}
        self.expressions = {equation.name: equation.expression for equation in equations}
        self.symbols = {
            e.name: [n.name for n in walk(e.expression) if isinstance(n, Symbol) and n.name in self.expressions]
            for e in equations
        }

    def update(self) -> Node:
        starts = {n.name: n.start for e in self.equations for n in walk(e.expression) if isinstance(n, Previous)}
        for group in _recurring_together(self.equations, starts.keys()):
            self.close(group, starts)
        return self.values((RESULT,), lambda p: self.delayed(p.name, p.start))[RESULT]

    def delayed(self, name: str, start: float) -> Node:
        return make_node("delayed", (self.closed[name],), start)

    def close(self, group: tuple[str, ...], starts: Mapping[str, float]) -> None:
        """Make the nodes of values that recur together."""

        def previous(p: Previous) -> Node:
            if p.name not in group:
                return self.delayed(p.name, p.start)
            return make_node("previous", (), (group.index(p.name), p.start))

        values = self.values(group, previous)
        bodies = tuple(values[name] for name in group)
        for which, name in enumerate(group):
            if any(body.is_open for body in bodies):
                first = tuple(starts[n] for n in group)
                self.closed[name] = make_node("recurrence", bodies, (which, first))
            else:  # others remember it, it does not depend on its own past
                self.closed[name] = bodies[which]

    def values(self, wanted: tuple[str, ...], previous: Callable[[Previous], Node]) -> Mapping[str, Node]:
        """Return the nodes of the equations `wanted` and of those they read."""
        found: dict[str, Node] = {}
        names = ChainMap(found, self.closed)
        waiting = list(wanted)
        while waiting:  # without recursion, since equations may build on each other a thousand deep
            name = waiting[-1]
            below = [symbol for symbol in self.symbols[name] if symbol not in names]
            if name not in names and not below:
                found[name] = self.node(self.expressions[name], names, previous)
            waiting.extend(below)
            if not below:
                waiting.pop()
        return names

    def node(self, expression: Expression, names: Mapping[str, Node], previous: Callable[[Previous], Node]) -> Node:
        if isinstance(expression, Call):
            if expression.function in DECAYS:
                formula = sugar.DECAY_FORMULAS[expression.function](*expression.arguments)
                return self.node(formula, names, previous)
            arguments = tuple([self.node(argument, names, previous) for argument in expression.arguments])
            return self.call(expression.function, arguments, expression.draw)
        if isinstance(expression, Number):
            return make_node("number", (), expression.value)
        if isinstance(expression, Previous):
            return previous(expression)
        known = names.get(expression.name)
        if known is not None:
            return known
        if expression.name in READY or expression.name in DECAYS:
            return ready_node(expression.name)
        return make_node("input", (), expression.name)

    def call(self, function: str, arguments: tuple[Node, ...], draw: int | None) -> Node:
        if function in REMEMBERING:
            return _remembering(function, arguments)
        if function not in _STREAMS:
            return _computed(function, arguments)
        stream = make_node(_STREAMS[function], (), self.streams.get(draw, 0) if draw is not None else 0)
        if draw is not None:
            self.drawn.setdefault(draw, (function, arguments[-1].key, arguments[0].key))
        if function == "noise":  # noise(s) is s times a normal, so that s is a factor like any other
            return stream if arguments[0].value == 1.0 else _computed("*", (arguments[0], stream))
        return make_node(function, (*arguments, stream))


def _computed(function: str, arguments: tuple[Node, ...]) -> Node:
    """Return a primitive's node, folded to a number where all its arguments are."""
    if function == "abs" and arguments[0].never_negative and not arguments[0].is_open:  # |g^2| is g^2
        return arguments[0]
    if arguments[0].function == "number" and PRIMITIVES[function].kind == "pointwise":
        numbers = [a.value for a in arguments if a.function == "number"]
        if len(numbers) == len(arguments):
            with np.errstate(all="ignore"):
                value = float(PRIMITIVES[function].numpy(*[np.float64(n) for n in numbers]))  # type: ignore[arg-type]
            if np.isfinite(value):
                return make_node("number", (), value)
    return make_node(function, arguments)


def _remembering(function: str, arguments: tuple[Node, ...]) -> Node:
    """Return the node of `ema`, `debiased`, `cumsum`, `cummax` or `delay`, as `sugar` writes it."""
    previous = make_node("previous", (), (0, 0.0))
    x = arguments[0]
    if function == "delay":
        return make_node("delayed", (x,), 0.0)
    if function in ("cumsum", "cummax"):
        decayed = make_node("*", (arguments[1], previous)) if len(arguments) == 2 else previous
        body = make_node("+" if function == "cumsum" else "max", (decayed, x))
        return make_node("recurrence", (body,), (0, (0.0,)))
    beta, one = arguments[1], make_node("number", (), 1.0)
    rest = _computed("-", (one, beta))
    body = make_node("+", (make_node("*", (beta, previous)), make_node("*", (rest, x))))
    average = make_node("recurrence", (body,), (0, (0.0,)))
    if function == "ema":
        return average
    steps = make_node("+", (make_node("input", (), "t"), one))
    return make_node("/", (average, make_node("-", (one, make_node("**", (beta, steps))))))


def _stream_numbers(equations: tuple[Equation, ...]) -> dict[int, int]:
    """Number the draws of each kind by what they draw for, so that the order in which a rule was written does not show."""
    draws = [n for e in equations for n in walk(e.expression) if isinstance(n, Call) and n.draw is not None]
    if len(draws) <= 1 or (len(draws) == 2 and draws[0].function != draws[1].function):
        return {}
    builder = _Builder(equations, {})
    builder.update()
    numbers: dict[int, int] = {}
    for function in _STREAMS:
        mine = [d for d, (name, _, _) in builder.drawn.items() if name == function]
        numbers |= {d: number for number, d in enumerate(sorted(mine, key=lambda d: builder.drawn[d][1:]))}
    return numbers


def _recurring_together(equations: tuple[Equation, ...], remembered: Set[str]) -> list[tuple[str, ...]]:
    """Return the remembered names in groups that read each other's past, each group after those it reads."""
    if not remembered:
        return []
    past: dict[str, set[str]] = {}  # the remembered names that each equation reads through prev, also by way of others
    for equation in equations:
        past[equation.name] = set()
        for node in walk(equation.expression):
            if isinstance(node, Previous):
                past[equation.name].add(node.name)
            elif isinstance(node, Symbol):
                past[equation.name] |= past.get(node.name, set())
    place = {equation.name: i for i, equation in enumerate(equations)}
    return [tuple(sorted(group, key=place.__getitem__)) for group in _connected(past, remembered)]


def _connected(past: Mapping[str, Set[str]], remembered: Set[str]) -> Iterator[list[str]]:
    """Yield the groups of names that reach each other, those that others reach first (Tarjan 1972, without recursion)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    for root in past:
        waiting = [(root, iter(past[root]))] if root in remembered and root not in number else []
        while waiting:
            name, below = waiting[-1]
            if name not in number:
                number[name] = lowest[name] = len(number)
                path.append(name)
            for other in below:
                if other not in number:
                    waiting.append((other, iter(past[other])))
                    break
                lowest[name] = min(lowest[name], lowest[other])
            else:
                waiting.pop()
                if waiting:
                    above = waiting[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                if lowest[name] == number[name]:
                    group = path[path.index(name) :]
                    del path[path.index(name) :]
                    for member in group:
                        lowest[member] = len(past) + 1  # closed: no longer pulls others down
                    yield group
