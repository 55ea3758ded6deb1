"""From a string of tokens to a rule.

Each group becomes `r1 = ...`, `r2 = ...`, the last one `u = ...`; results that are read once are written where they are read, and what
nothing reads is left out. So

    [sign(g), sign(m), x, x, x * y] [g, r1, x, exp(x), x * y]   is   g * exp(sign(g) * sign(m))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from search_space.expression import Call, Expression, Symbol, rebuild, substitute, walk
from search_space.primitives import PRIMITIVES
from search_space.rule import RESULT, Equation, Rule
from search_space.simplifying import simplify_equations

PER_GROUP = 5
_DRAWING = frozenset(name for name, row in PRIMITIVES.items() if row.kind == "drawing")


class Decoder:
    """Builds the equations of one string."""

    def __init__(
        self, operands: Sequence[Expression], unary: Sequence[Expression], binary: Sequence[Expression]
    ) -> None:
        self.vocabulary = operands, unary, binary
        self.equations: list[Equation] = []
        self.draws = iter(range(10**6))

    def rule(self, tokens: Sequence[int]) -> Rule:
        """Return the rule of a checked string."""
        operands, unary, binary = self.vocabulary
        results: list[Expression] = []
        for i in range(0, len(tokens), PER_GROUP):
            op1, op2, u1, u2, b = tokens[i : i + PER_GROUP]
            x = self.applied(unary[u1], self.operand(operands, results, op1))
            y = self.applied(unary[u2], self.operand(operands, results, op2))
            value = self.applied(binary[b], x, y)
            last = i + PER_GROUP == len(tokens)
            name = RESULT if last else f"r{i // PER_GROUP + 1}"
            self.equations.append(Equation(name, value))
            results.append(Symbol(name))
        equations = simplify_equations(tuple(_inlined(self.equations)))
        # the numbers kept draws apart while equal terms were merged; the rule counts its draws from 0
        return Rule((), tuple(Equation(e.name, rebuild(e.expression, _unnumbered)) for e in equations))

    def operand(self, operands: Sequence[Expression], results: Sequence[Expression], token: int) -> Expression:
        if token >= len(operands):
            return results[token - len(operands)]
        return self.applied(operands[token])

    def applied(self, template: Expression, x: Expression | None = None, y: Expression | None = None) -> Expression:
        """Return `template` with its variables replaced and its draws numbered."""
        values: dict[str, Expression] = {}
        for name, value in (("x", x), ("y", y)):
            if value is None:
                continue
            repeated = isinstance(value, Call) and sum(node == Symbol(name) for node in walk(template)) > 1
            values[name] = self.named(value) if repeated else value
        return self.filled(template, values)

    def filled(self, node: Expression, values: dict[str, Expression]) -> Expression:
        if isinstance(node, Symbol):
            return values.get(node.name, node)
        if not isinstance(node, Call):
            return node
        arguments = tuple([self.filled(argument, values) for argument in node.arguments])
        draw = next(self.draws) if node.function in _DRAWING else None
        return Call(node.function, arguments, draw)

    def named(self, value: Expression) -> Symbol:
        """Make an equation of a value that is read twice."""
        name = f"x{sum(e.name.startswith('x') for e in self.equations) + 1}"
        self.equations.append(Equation(name, value))
        return Symbol(name)


def _unnumbered(node: Expression) -> Expression:
    return replace(node, draw=None) if isinstance(node, Call) and node.draw is not None else node


def _inlined(equations: Sequence[Equation]) -> Iterator[Equation]:
    """Put equations that are read once where they are read, and leave out those that are not read."""
    reads: dict[str, int] = {RESULT: 2}
    for equation in reversed(equations):
        if reads.get(equation.name):
            for name in _symbols(equation.expression):
                reads[name] = reads.get(name, 0) + 1
    values: dict[str, Expression] = {}
    for equation in equations:
        expression = substitute(equation.expression, values) if values else equation.expression
        if reads.get(equation.name, 0) > 1:
            yield Equation(equation.name, expression)
        else:
            values[equation.name] = expression


def _symbols(expression: Expression) -> Iterable[str]:
    return (node.name for node in walk(expression) if isinstance(node, Symbol))
