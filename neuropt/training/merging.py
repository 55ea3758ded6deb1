"""Many rules as one graph, in which what several rules compute is one node.

`adam * exp(g)`, `sign(m) * g` and `m + w` all remember m. Value numbering over all of them finds one node for m, with three users, so a
population updates it for the rows of all three in one call. Numbers that depend on the step only, such as 1 - 0.9^(t+1), are tables made
before training: entry t is their value at step t.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuropt.compiling.execution import evaluate_numbers
from neuropt.compiling.program import Instruction, Leaf, Program, Remembered

Table = NDArray[np.float64]
"""Values of a number: (steps, 1), or (steps, learning rates) where it depends on lr."""


@dataclass(slots=True)
class Node:
    """One value of the merged graph.

    Args:
        function: a primitive; or `g`, `w`, `number`, `previous` for what a step is given.
        arguments: numbers of other nodes.
        draw: which stream of random numbers.
        table: of a `number`.
        start: of a `previous`.
        reduced: whether all elements of a parameter tensor have one value, such as `norm(g)`.
        users: positions of the rules that need it, increasing.
    """

    function: str
    arguments: tuple[int, ...] = ()
    draw: int | None = None
    table: Table | None = None
    start: float = 0.0
    reduced: bool = False
    users: list[int] = field(default_factory=list)


class Merged:
    """The graph of several rules.

    Args:
        programs: the rules, in the order of their rows.
        learning_rates: those of each rule.
        factors: what a schedule multiplies the learning rates by at each step; T, the planned steps, of them.

    `nodes` stand in an order in which they can be computed; `results[r]` is the node of rule r's update; `feeds[p]` the node whose value
    the `previous` node p takes after each step; `remembered[r]` the `previous` node of each name that rule r remembers.
    """

    def __init__(
        self, programs: Sequence[Program], learning_rates: Sequence[Sequence[float]], factors: Sequence[float]
    ) -> None:
        self.steps, self.factors = len(factors), np.asarray(factors, np.float64)
        self.nodes: list[Node] = []
        self.results: list[int] = []
        self.feeds: dict[int, int] = {}
        self.remembered: list[dict[str, int]] = []
        self._numbers: dict[object, int] = {}
        for position, (program, rates) in enumerate(zip(programs, learning_rates, strict=True)):
            self._add_rule(position, program, np.asarray(rates, np.float64))

    def _intern(self, key: object, position: int, node: Node) -> int:
        number = self._numbers.setdefault(key, len(self.nodes))
        if number == len(self.nodes):
            self.nodes.append(node)
        users = self.nodes[number].users
        if not users or users[-1] != position:
            users.append(position)
        return number

    def _add_rule(self, position: int, program: Program, rates: Table) -> None:
        tables = number_tables(program, rates, self.factors)
        keys = _Keys(program, tables, position)
        numbers: list[int] = []
        for value, leaf in enumerate(program.leaves):
            numbers.append(self._add_leaf(position, program, value, leaf, tables, keys))
        for value, instruction in enumerate(program.instructions, len(program.leaves)):
            numbers.append(self._add_instruction(position, value, instruction, numbers, tables))
        self.results.append(numbers[program.result])
        self.remembered.append({r.name: numbers[r.leaf] for r in program.remembered if r.kind != "number"})
        for r in program.remembered:
            if r.kind != "number":
                self.feeds[numbers[r.leaf]] = numbers[r.value]

    def _add_table(self, position: int, table: Table) -> int:
        own = position if table.shape[1] > 1 else -1  # rows of another rule have other learning rates
        return self._intern(("number", own, table.tobytes()), position, Node("number", table=table))

    def _add_leaf(
        self, position: int, program: Program, value: int, leaf: Leaf, tables: list[Table | None], keys: _Keys
    ) -> int:
        table = tables[value]
        if table is not None:
            return self._add_table(position, table)
        if leaf.source == "input":
            return self._intern(leaf.name, position, Node(leaf.name))
        remembered = next(r for r in program.remembered if r.leaf == value)
        return self._intern(
            keys.of_recurrence(remembered),
            position,
            Node("previous", start=leaf.number, reduced=leaf.kind == "reduced"),
        )

    def _add_instruction(
        self, position: int, value: int, instruction: Instruction, numbers: list[int], tables: list[Table | None]
    ) -> int:
        table = tables[value]
        if table is not None:
            return self._add_table(position, table)
        arguments = tuple(numbers[a] for a in instruction.arguments)
        key = (instruction.function, arguments, instruction.draw)
        reduced = instruction.kind == "reduced"
        return self._intern(key, position, Node(instruction.function, arguments, instruction.draw, reduced=reduced))


def number_tables(program: Program, rates: Table, factors: Table) -> list[Table | None]:
    """Return, for each value of a program, its values at all steps if it is a number, else None."""
    own = {leaf.name: leaf.number for leaf in program.leaves if leaf.source == "hyperparameter"}
    # (steps, learning rates, 1): reductions run over the last axis, and must not mix learning rates
    steps = len(factors)
    lr = factors[:, None, None] * rates[None, :, None]
    given = own | {"T": float(steps)}
    numbers = [r for r in program.remembered if r.kind == "number"]
    if not numbers:
        t = np.arange(steps, dtype=np.float64)[:, None, None]
        return [_as_table(v, steps) for v in evaluate_numbers(program, given | {"t": t, "lr": lr}, {})]
    remembered: dict[str, object] = {r.name: r.start for r in numbers}
    rows = []
    for step in range(steps):
        rows.append(evaluate_numbers(program, given | {"t": float(step), "lr": lr[step : step + 1]}, remembered))
        remembered = {r.name: rows[-1][r.value] for r in numbers}
    return [
        None
        if rows[0][v] is None
        else np.concatenate(np.broadcast_arrays(*[np.reshape(row[v], (1, -1)) for row in rows]))
        for v in range(len(program.kinds))
    ]


def _as_table(value: object, steps: int) -> Table | None:
    if value is None:
        return None
    table = np.atleast_3d(np.asarray(value, np.float64))[:, :, 0]
    return np.ascontiguousarray(np.broadcast_to(table, (steps, table.shape[1])))


class _Keys:
    """Keys of what a rule remembers: equal for two rules exactly where both remember the same recurrence from the same start."""

    def __init__(self, program: Program, tables: list[Table | None], position: int) -> None:
        self.program, self.tables, self.position = program, tables, position
        self.by_leaf = {r.leaf: r for r in program.remembered}

    def of_recurrence(self, remembered: Remembered, around: tuple[str, ...] = ()) -> object:
        inside = (*around, remembered.name)
        key = self.of_value(remembered.value, remembered, inside, {})
        # two values that remember each other stay apart from those of other rules
        own = ("own", self.position, remembered.name)
        return own if key is None else ("recurrence", remembered.start, key)

    def of_value(
        self, value: int, remembered: Remembered, inside: tuple[str, ...], known: dict[int, object]
    ) -> object | None:
        if value not in known:
            known[value] = self._compute(value, remembered, inside, known)
        return known[value]

    def _compute(
        self, value: int, remembered: Remembered, inside: tuple[str, ...], known: dict[int, object]
    ) -> object | None:
        table = self.tables[value]
        if value == remembered.leaf:
            return "itself"
        if table is not None:
            return (self.position if table.shape[1] > 1 else -1, table.tobytes())
        if value in self.by_leaf:
            other = self.by_leaf[value]
            return None if other.name in inside else self.of_recurrence(other, inside)
        if value < len(self.program.leaves):
            return self.program.leaves[value].name
        instruction = self.program.instructions[value - len(self.program.leaves)]
        arguments = tuple(self.of_value(a, remembered, inside, known) for a in instruction.arguments)
        return None if None in arguments else (instruction.function, arguments, instruction.draw)


def order_for_sharing(programs: Sequence[Program]) -> list[int]:
    """Return an order of the rules in which those that compute the same stand together, so that one call serves them.

    The work that most rules share decides first.
    """
    merged = Merged(programs, [[1.0]] * len(programs), factors=[1.0])
    shared = Counter({n: len(node.users) for n, node in enumerate(merged.nodes) if 1 < len(node.users) < len(programs)})
    uses = [set[int]() for _ in programs]
    for number, _ in shared.most_common(12):
        for user in merged.nodes[number].users:
            uses[user].add(number)
    popular = [number for number, _ in shared.most_common(12)]
    return sorted(range(len(programs)), key=lambda r: ([number not in uses[r] for number in popular], r))
