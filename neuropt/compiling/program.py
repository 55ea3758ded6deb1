"""The straight-line form of a rule: numbered values, each computed once, in the order of their need.

`m = 0.9 * prev(m) + (1 - 0.9) * g; u = sign(m)` becomes

    0  input g                        leaves
    1  constant 0.9
    2  constant 0.09999999999999998   folded: 1 - 0.9
    3  previous m
    4  * 1 3                          instructions
    5  * 0 2
    6  + 4 5                          feeds the remembered value m
    7  sign 6                         the update u

Every value is of one kind:

- `number`: depends on constants, hyperparameters, t, T and lr only, such as `1 - beta ** (t + 1)`; the same for all tensors of a step;
- `reduced`: one number a tensor, such as `norm(g)` and what is computed from it and numbers;
- `tensor`: one number an element.

Whatever runs rules (one tensor at a time, populations, fused kernels, exports) is written against this form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, assert_never

import numpy as np

from search_space import Rule, expand, parse_rule
from search_space.expression import Call, Expression, Number, Previous, Symbol, walk
from search_space.primitives import COMMUTATIVE, PRIMITIVES
from search_space.rule import INPUTS, RESULT

ValueKind = Literal["number", "reduced", "tensor"]
LeafKind = Literal["input", "hyperparameter", "constant", "previous"]

_KINDS: tuple[ValueKind, ...] = ("number", "reduced", "tensor")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that a step is given.

    Args:
        source: where it comes from.
        name: of the input (g, w, t, T, lr), hyperparameter or remembered value; the text of a constant.
        number: the constant; the hyperparameter's own value; where a remembered value starts; 0 for an input.
        kind: `number`, `reduced` or `tensor`.
    """

    source: LeafKind
    name: str
    number: float
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class Instruction:
    """A value that a step computes.

    Args:
        function: a key of `search_space.primitives.PRIMITIVES`.
        arguments: numbers of the values it reads, all smaller than its own.
        draw: which stream of random numbers, for `noise` and `drop`; None for all others.
        kind: `number`, `reduced` or `tensor`.
    """

    function: str
    arguments: tuple[int, ...]
    draw: int | None
    kind: ValueKind


@dataclass(frozen=True, slots=True)
class Remembered:
    """A value that the next step reads.

    Args:
        name: of its equation; where several equations are the same recurrence, the first of them.
        start: its value before the first step.
        value: number of the value that it takes at the end of a step.
        leaf: number of the leaf through which the step reads it.
        kind: `number`, `reduced` or `tensor`.
    """

    name: str
    start: float
    value: int
    leaf: int
    kind: ValueKind


@dataclass(frozen=True)
class Program:
    """A rule as a straight line. Made by `compile_program`; pickles as the text of its rule.

    Value number i is `leaves[i]`, or, from `len(leaves)` on, `instructions[i - len(leaves)]`. Instructions of kind `number` stand
    first, so that `instructions[:numbers]` is what a step computes once, and the rest what it computes for each tensor.

    Args:
        rule: as it was given, before `expand`.
        leaves: what a step is given.
        instructions: what it computes.
        numbers: how many instructions, from the first, are numbers.
        result: number of the value that is the update u.
        remembered: what the next step reads.
        last_use: for each value, the index of the last instruction that reads it: after that its memory is free. It is
            `len(instructions)` for the result and for what feeds a remembered value, and -1 for a leaf that nothing reads.
        names: for each value, the equation that it is the whole of, or None.
    """

    rule: Rule
    leaves: tuple[Leaf, ...]
    instructions: tuple[Instruction, ...]
    numbers: int
    result: int
    remembered: tuple[Remembered, ...]
    last_use: tuple[int, ...]
    names: tuple[str | None, ...]

    @cached_property
    def kinds(self) -> tuple[ValueKind, ...]:
        """The kind of every value."""
        return (*(leaf.kind for leaf in self.leaves), *(i.kind for i in self.instructions))

    @cached_property
    def pointwise(self) -> bool:
        """Whether each element of the update depends on that element's own history only, after dead code is gone."""
        return all(PRIMITIVES[i.function].kind != "reducing" for i in self.instructions if i.kind != "number")

    @cached_property
    def deterministic(self) -> bool:
        """Whether the update draws no random numbers, after dead code is gone."""
        return all(instruction.draw is None for instruction in self.instructions)

    @cached_property
    def number_steps(
        self,
    ) -> tuple[list[float | None], list[tuple[int, str, bool]], list[tuple[int, str, tuple[int, ...]]]]:
        """What a step computes with numbers: all values, where constants are given; (value, name, whether it is remembered) of those that a
        step is given; and (value, function, arguments) of those that it computes."""
        numbers = [(n, leaf) for n, leaf in enumerate(self.leaves) if leaf.kind == "number"]
        constants = {n: leaf.number for n, leaf in numbers if leaf.source == "constant"}
        inputs = [(n, leaf.name, leaf.source == "previous") for n, leaf in numbers if leaf.source != "constant"]
        computed = enumerate(self.instructions[: self.numbers], len(self.leaves))
        steps = [(n, i.function, i.arguments) for n, i in computed]
        return [constants.get(n) for n in range(len(self.kinds))], inputs, steps

    def reads(self, name: str) -> bool:
        """Whether the update depends on the input `name` (g, w, t, T or lr)."""
        return any(leaf.source == "input" and leaf.name == name for leaf in self.leaves)

    def __reduce__(self) -> tuple[Callable[[str], Program], tuple[str]]:
        return compile_text, (self.rule.text,)


def compile_text(text: str) -> Program:
    """Compile the rule that `text` is."""
    return compile_program(parse_rule(text))


def compile_program(rule: Rule) -> Program:
    """Return the straight-line form of any rule.

    Equal subexpressions are one value, except draws, which are never merged; expressions of constants are folded in float64; what
    neither the update nor a remembered value needs is left out; equations that are the same recurrence from the same start are one
    remembered value.

    >>> program = compile_program(parse_rule("exp(sign(g) * sign(m)) * g"))
    >>> [instruction.function for instruction in program.instructions]
    ['*', '*', '+', 'sign', 'sign', '*', 'exp', '*']
    >>> [(value.name, value.start, value.kind) for value in program.remembered]
    [('m', 0.0, 'tensor')]
    """
    expanded = expand(rule)
    same = {n.name: n.start for e in expanded.equations for n in walk(e.expression) if isinstance(n, Previous)}
    # Suppose that all values with one start are one value, and part those that differ after one step, until none do.
    classes = _first_of_each((name, start.hex()) for name, start in same.items())
    while True:
        graph = _Graph(expanded, classes)
        finer = _first_of_each((name, (first, graph.equations[name])) for name, first in classes.items())
        if finer == classes:
            return _assemble(rule, graph)
        classes = finer


def _first_of_each(pairs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Map each name to the first name with an equal key."""
    first: dict[object, str] = {}
    return {name: first.setdefault(key, name) for name, key in pairs}


class _Graph:
    """Every value of an expanded rule, by value numbering: equal keys are one value.

    Args:
        rule: expanded.
        classes: for each remembered name, the name that stands for it.
    """

    def __init__(self, rule: Rule, classes: dict[str, str]) -> None:
        self.classes = classes
        self.values: list[Leaf | Instruction] = []
        self.numbers: dict[object, int] = {}
        self.names: dict[int, str] = {}
        self.equations: dict[str, int] = {
            name: self.leaf("hyperparameter", name, value) for name, value in rule.hyperparameters
        }
        for equation in rule.equations:
            value = self.expression(equation.expression)
            self.equations[equation.name] = value
            self.names.setdefault(value, equation.name)
        self.result = self.equations[RESULT]

    def add(self, key: object, value: Leaf | Instruction) -> int:
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append(value)
        return self.numbers[key]

    def leaf(self, source: LeafKind, name: str, number: float = 0.0) -> int:
        kind: ValueKind = "tensor" if source == "input" and name in ("g", "w") else "number"
        return self.add((source, name), Leaf(source, name, number, kind))

    def constant(self, value: float) -> int:
        return self.leaf("constant", repr(value), value)  # text tells 0.0 from -0.0, and NaN equals itself

    def expression(self, node: Expression) -> int:
        match node:
            case Number(value):
                return self.constant(value)
            case Symbol(name):
                return self.leaf("input", name) if name in INPUTS else self.equations[name]
            case Previous(name, start):
                return self.leaf("previous", self.classes[name], start)
            case Call(function, arguments, draw):
                return self.call(function, tuple(self.expression(argument) for argument in arguments), draw)
            case _:
                assert_never(node)

    def call(self, function: str, arguments: tuple[int, ...], draw: int | None) -> int:
        read = [self.values[argument] for argument in arguments]
        constants = [v.number for v in read if isinstance(v, Leaf) and v.source == "constant"]
        if draw is None and len(constants) == len(arguments):
            return self.constant(fold(function, constants))
        if function in COMMUTATIVE:
            arguments = tuple(sorted(arguments))
        return self.add((function, arguments, draw), Instruction(function, arguments, draw, "number"))


def fold(function: str, arguments: list[float]) -> float:
    """Return a primitive of numbers as a Python float: IEEE results, without exceptions or warnings.

    >>> fold("-", [1.0, 0.9]), fold("/", [1.0, 0.0])
    (0.09999999999999998, inf)
    """
    with np.errstate(all="ignore"):
        return float(np.asarray(PRIMITIVES[function].numpy(*arguments)).item())


def _assemble(rule: Rule, graph: _Graph) -> Program:
    """Drop what is dead, find the kinds, and number the rest: leaves, numbers, then everything else."""
    live = _live(graph)
    values = _with_kinds(graph, live)
    leaves = [i for i in live if isinstance(values[i], Leaf)]
    numbers = [i for i in live if isinstance(values[i], Instruction) and values[i].kind == "number"]
    others = [i for i in live if isinstance(values[i], Instruction) and values[i].kind != "number"]
    new = {old: number for number, old in enumerate(leaves + numbers + others)}
    instructions = [
        replace(value, arguments=tuple(new[argument] for argument in value.arguments))
        for value in (values[i] for i in numbers + others)
        if isinstance(value, Instruction)
    ]
    remembered = tuple(
        Remembered(leaf.name, leaf.number, new[graph.equations[leaf.name]], new[i], leaf.kind)
        for i, leaf in ((i, values[i]) for i in leaves)
        if isinstance(leaf, Leaf) and leaf.source == "previous"
    )
    last_use = [-1] * len(new)
    for position, instruction in enumerate(instructions):
        for argument in instruction.arguments:
            last_use[argument] = position
    for kept in (new[graph.result], *(r.value for r in remembered)):
        last_use[kept] = len(instructions)
    return Program(
        rule,
        tuple(leaf for leaf in (values[i] for i in leaves) if isinstance(leaf, Leaf)),
        tuple(instructions),
        len(numbers),
        new[graph.result],
        remembered,
        tuple(last_use),
        tuple(graph.names.get(old) for old in leaves + numbers + others),
    )


def _live(graph: _Graph) -> list[int]:
    """Return the values that the update needs, now or through what is remembered, in order."""
    live, waiting = set[int](), [graph.result]
    while waiting:
        number = waiting.pop()
        if number in live:
            continue
        live.add(number)
        match graph.values[number]:
            case Instruction(_, arguments):
                waiting.extend(arguments)
            case Leaf("previous", name):
                waiting.append(graph.equations[name])
    return sorted(live)


def _with_kinds(graph: _Graph, live: list[int]) -> list[Leaf | Instruction]:
    """Return all values with their kinds: the least fixed point, so that a recurrence of numbers is a number."""
    values = list(graph.values)
    changed = True
    while changed:
        changed = False
        for number in live:
            value = values[number]
            kind = _kind(value, graph, values)
            if kind != value.kind:
                values[number], changed = replace(value, kind=kind), True
    return values


def equation_kinds(rule: Rule) -> dict[str, ValueKind]:
    """Return the kind of every equation of an expanded rule, the dead ones included.

    >>> equation_kinds(expand(parse_rule("b = 0.9 * prev(b, 1); s = norm(g); u = b * g / s")))
    {'b': 'number', 's': 'reduced', 'u': 'tensor'}
    """
    graph = _Graph(
        rule, {n.name: n.name for e in rule.equations for n in walk(e.expression) if isinstance(n, Previous)}
    )
    values = _with_kinds(graph, list(range(len(graph.values))))
    return {equation.name: values[graph.equations[equation.name]].kind for equation in rule.equations}


def _kind(value: Leaf | Instruction, graph: _Graph, values: list[Leaf | Instruction]) -> ValueKind:
    match value:
        case Leaf("previous", name):
            return values[graph.equations[name]].kind
        case Leaf():
            return value.kind
        case Instruction(function, arguments):
            row = PRIMITIVES[function]
            widest = _KINDS[max(_KINDS.index(values[argument].kind) for argument in arguments)]
            if row.kind == "drawing":
                return "tensor"
            return "reduced" if row.kind == "reducing" and widest != "number" else widest
        case _:
            assert_never(value)
