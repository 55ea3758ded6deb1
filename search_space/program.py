"""A graph as a list of operations, to run once a step where a value depends on its own past.

`recurrence(0.9 * previous + x)` with x handed in becomes

    registers   x | 0.9 | past | product | sum          past starts at 0
    operations  product = 0.9 * past;  sum = product + x
    updates     past <- sum                             after the step

A remembered value has one number an element if what replaces it has, and that is seen by running the operations once: `start` does so
where there are reductions, since norm(1 + past) of ten elements starts at sqrt(10).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search_space.graph import Node, group_key, order
from search_space.primitives import PRIMITIVES


class Program:
    """The operations of one step.

    Args:
        root: what to compute.
        outer: which nodes are handed in at every step instead of being computed.

    `inputs` are those nodes; `start(values)` gives registers, and `step(registers)` runs one step on them. Both compute, so that numpy
    warns in either where a rule divides by 0.
    """

    def __init__(self, root: Node, outer: Callable[[Node], bool]) -> None:
        self.inputs: list[Node] = []
        self.first: list[Any] = []
        self.operations: list[tuple[Callable[..., Any], tuple[int, ...], int]] = []
        self._places: dict[tuple[bytes, bytes], int] = {}
        self._slots: dict[tuple[tuple[bytes, int], float], int] = {}
        self._sources: dict[tuple[bytes, int], int] = {}
        nodes = list(order(root, outer))
        for node, _ in nodes:
            if outer(node):
                self.inputs.append(node)
                self._places[node.key, b""] = self._new()
        for node, group in nodes:
            if not outer(node):
                self._places[node.key, group] = self._add(node, group)
        self.root = self._places[root.key, b""]
        self.updates = [(slot, self._sources[memory]) for (memory, _), slot in self._slots.items()]
        computed = [n.function for n, _ in nodes if n.function in PRIMITIVES and not outer(n)]
        self._reduces = any(PRIMITIVES[function].kind == "reducing" for function in computed)

    def start(self, values: Sequence[Any]) -> list[Any]:
        """Return registers before the first step; `values` are those of the inputs at that step."""
        registers = list(self.first)
        registers[: len(values)] = values
        return self._filled(registers) if self._reduces else registers

    def step(self, registers: list[Any]) -> Any:
        """Run one step, remember what the next one reads, and return the value of the root."""
        self._operate(registers)
        value = registers[self.root]
        now = [registers[source] for _, source in self.updates]
        for (slot, _), remembered in zip(self.updates, now, strict=True):
            registers[slot] = remembered
        return value

    def _operate(self, registers: list[Any]) -> None:
        for function, arguments, out in self.operations:
            registers[out] = function(*[registers[i] for i in arguments])

    def _filled(self, registers: list[Any]) -> list[Any]:
        """Return registers in which each remembered value has the shape of what replaces it; one may replace another, hence the loop."""
        while True:
            self._operate(registers)
            shapes = [(slot, np.shape(registers[source])) for slot, source in self.updates]
            grown = [(slot, shape) for slot, shape in shapes if np.shape(registers[slot]) != shape]
            if not grown:
                return registers
            for slot, shape in grown:
                registers[slot] = np.full(shape, self.first[slot])

    def _new(self, first: Any = None) -> int:
        self.first.append(first)
        return len(self.first) - 1

    def _slot(self, memory: tuple[bytes, int], start: float) -> int:
        """Return the register of a remembered value; one that is read with two starts has two."""
        if (memory, start) not in self._slots:
            self._slots[memory, start] = self._new(start)
        return self._slots[memory, start]

    def _place(self, node: Node, group: bytes) -> int:
        return self._places[node.key, group if node.is_open else b""]

    def _add(self, node: Node, group: bytes) -> int:
        """Return the register of a node, with an operation that fills it if it needs one."""
        match node.function, node.value:
            case "number", value:
                return self._new(value)
            case "previous", (int(which), float(start)):
                return self._slot((group, which), start)
            case "recurrence", (int(which), _):
                inside = group_key(node)
                places = [self._place(body, inside) for body in node.arguments]
                self._sources |= {(inside, i): place for i, place in enumerate(places)}
                return places[which]
            case "delayed", float(start):
                (argument,) = node.arguments
                if argument.function == "recurrence" and isinstance(argument.value, tuple):
                    return self._slot((group_key(argument), argument.value[0]), start)
                self._sources[argument.key, -1] = self._place(argument, b"")
                return self._slot((argument.key, -1), start)
            case function, _:
                arguments = tuple([self._place(argument, group) for argument in node.arguments])
                out = self._new()
                self.operations.append((PRIMITIVES[function].numpy, arguments, out))
                return out
