"""Apply many rules to a buffer in which each child is a row: u for every row, from g and w, once a step.

All buffers have shape (seeds, rows, P). Rule r owns the rows `slices[r]`, one for each of its learning rates. A node of the merged graph
is computed for whole runs of neighbouring rules that need it, in one torch call a run; a node that one rule needs uses small scratch
memory that the next rule uses again, so it stays in the cache. All calls are prepared when a `Rows` is made; a step only runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.program import Program
from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES, fitting
from neuropt.training.averages import average_parts, averages, folded, number_of, tensor_of
from neuropt.training.merging import Merged, Node
from neuropt.training.population_draws import Draws
from search_space.primitives import COMMUTATIVE, PRIMITIVES

Operation = Callable[[int], object]
"""One prepared call; it is given t."""


@dataclass(slots=True)
class _Run:
    """A node's value in the rows of neighbouring rules: `memory[:, i]` is row `first + i`."""

    first: int
    last: int
    memory: Tensor


class Rows:
    """Rules over rows.

    Args:
        programs: one a rule, pointwise or with reductions.
        learning_rates: those of each rule; their number is the number of its rows.
        gradients, weights, updates: (seeds, rows, P); the first two are read, the last is written.
        segments: the sizes of the parameter tensors that a row of P elements is made of.
        draws: random numbers of `noise` and `drop`.
        factors: what a schedule multiplies the learning rates by at each step; T, the planned steps, of them.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        learning_rates: Sequence[Sequence[float]],
        gradients: Tensor,
        weights: Tensor,
        updates: Tensor,
        segments: Sequence[int],
        draws: Draws,
        factors: Sequence[float],
    ) -> None:
        self.merged = Merged(programs, learning_rates, factors)
        self.given = {"g": gradients, "w": weights}
        self.updates, self.draws = updates, draws
        bounds = [0]
        for rates in learning_rates:
            bounds.append(bounds[-1] + len(rates))
        self.slices = list(pairwise(bounds))
        segment_bounds = [0]
        for size in segments:
            segment_bounds.append(segment_bounds[-1] + size)
        self.segments = list(pairwise(segment_bounds))
        self.runs: dict[int, list[_Run]] = {}
        self.operations: list[Operation] = []
        self.free: dict[int, list[Tensor]] = {}
        self._averages = averages(self.merged)
        self._folded = folded(self.merged, self._averages)
        self._alone: list[list[int]] = [[] for _ in programs]
        for number, node in enumerate(self.merged.nodes):
            if len(node.users) == 1 and node.function in PRIMITIVES:
                self._alone[node.users[0]].append(number)
        self._prepare()

    def step(self, t: int) -> None:
        """Write every row's u at step t, and remember what the next step reads."""
        for operation in self.operations:
            operation(t)

    def remembered(self, rule: int, name: str) -> Tensor:
        """Return the memory of one remembered value in the rows of one rule: (seeds, rows of the rule, P), to read or to fill."""
        return self._view(self.merged.remembered[rule][name], *self.slices[rule])

    # -- preparation ---------------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        nodes = self.merged.nodes
        for number, node in enumerate(nodes):
            if node.function == "previous":
                self.runs[number] = [self._new_run(first, last, node.start) for first, last in self._spans(node)]
        for number, node in enumerate(nodes):
            if node.function in PRIMITIVES and len(node.users) > 1 and number not in self._folded:
                self._prepare_shared(number, node)
        for rule in range(len(self.slices)):
            self._prepare_rule(rule)
        self._prepare_remembering()

    def _prepare_remembering(self) -> None:
        """Prepare the copies of what feeds remembered values; where prev(a) feeds b, b takes it before a moves on."""
        feeds = [(p, v) for p, v in self.merged.feeds.items() if self._averages.get(v) != p]
        feeds.sort(key=lambda feed: self.merged.nodes[feed[1]].function != "previous")
        delayed = [(p, v) for p, v in feeds if self.merged.nodes[v].function == "previous" and p != v]
        waiting: list[tuple[Tensor, Tensor]] = []
        for previous, value in delayed:
            for run in self.runs[previous]:
                waiting.append((torch.empty_like(run.memory), run.memory))
                self.operations.append(self._copy(waiting[-1][0], value, run.first, run.last))
        for previous, value in feeds:
            if (previous, value) not in delayed:
                for run in self.runs[previous]:
                    self.operations.append(self._copy(run.memory, value, run.first, run.last))
        for stash, memory in waiting:
            self.operations.append(_copying(memory, stash))

    def _spans(self, node: Node) -> list[tuple[int, int]]:
        """Return the rows of runs of neighbouring users."""
        spans: list[tuple[int, int]] = []
        for user in node.users:
            first, last = self.slices[user]
            if spans and spans[-1][1] == first:
                spans[-1] = (spans[-1][0], last)
            else:
                spans.append((first, last))
        return spans

    def _new(self, rows: int) -> Tensor:
        seeds, _, elements = self.updates.shape
        return self.updates.new_empty(seeds, rows, elements)

    def _new_run(self, first: int, last: int, start: float) -> _Run:
        return _Run(first, last, self._new(last - first).fill_(start))

    def _prepare_shared(self, number: int, node: Node) -> None:
        self.runs[number] = []
        for first, last in self._spans(node):
            memory = self._in_place(number, first, last)
            run = _Run(first, last, self._new(last - first) if memory is None else memory)
            self.runs[number].append(run)
            self._operate(number, node, run)

    def _in_place(self, number: int, first: int, last: int) -> Tensor | None:
        """Return the remembered memory that an average may overwrite, else None."""
        previous = self._averages.get(number)
        return None if previous is None else self._view(previous, first, last)

    def _prepare_rule(self, rule: int) -> None:
        """Prepare what this rule alone needs, in scratch memory that is free again once read for the last time."""
        first, last = self.slices[rule]
        nodes, result = self.merged.nodes, self.merged.results[rule]
        own = [n for n in self._alone[rule] if n not in self._folded]
        reads = {n: sum(self._read(m).count(n) for m in own) for n in own}
        lasting = set(self.merged.feeds.values()) | {result}
        scratch = self.free.setdefault(last - first, [])
        written = False
        for n in own:
            memory = self._in_place(n, first, last)
            if memory is None and n == result and n not in self.merged.feeds.values():
                memory, written = self.updates[:, first:last], True
            if memory is None:
                memory = scratch.pop() if scratch and n not in lasting else self._new(last - first)
            self.runs[n] = [_Run(first, last, memory)]
            self._operate(n, nodes[n], self.runs[n][0])
            for argument in set(self._read(n)) & reads.keys():
                reads[argument] -= self._read(n).count(argument)
                if reads[argument] == 0 and argument not in lasting:
                    scratch.append(self.runs[argument][0].memory)
        if not written:
            self.operations.append(self._copy(self.updates[:, first:last], result, first, last))

    def _read(self, number: int) -> list[int]:
        """Return the nodes that a node's call reads: an average reads what the products folded into it are made of."""
        nodes = self.merged.nodes
        return [b for a in nodes[number].arguments for b in (nodes[a].arguments if a in self._folded else (a,))]

    def _view(self, number: int, first: int, last: int) -> Tensor:
        """Return a node's value in some rows, all of which lie in one of its runs."""
        node = self.merged.nodes[number]
        if node.function in self.given:
            return self.given[node.function][:, first:last]
        run = next(r for r in self.runs[number] if r.first <= first and last <= r.last)
        return (
            run.memory
            if (run.first, run.last) == (first, last)
            else run.memory[:, first - run.first : last - run.first]
        )

    def _copy(self, into: Tensor, number: int, first: int, last: int) -> Operation:
        if self.merged.nodes[number].function == "number":
            read = self._number(number)
            return lambda t: into.copy_(value) if isinstance(value := read(t), Tensor) else into.fill_(value)
        value = self._view(number, first, last)
        return lambda t: into.copy_(value)

    def _number(self, number: int) -> Callable[[int], Tensor | float]:
        """Return how to read a number at step t: a float, or a column with one for each learning rate of its rule."""
        constant = self._constant(number)
        if constant is not None:
            return lambda t: constant
        table = self.merged.nodes[number].table
        assert table is not None
        if table.shape[1] == 1:
            floats = [fitting(x, self.updates.dtype) for x in table[:, 0].tolist()]
            return floats.__getitem__
        columns = torch.tensor(table).to(self.updates).unsqueeze(-1)  # (steps, rates, 1)
        return lambda t: columns[t]

    def _constant(self, number: int) -> float | None:
        """Return the value of a number that is the same at all steps and rates."""
        table = self.merged.nodes[number].table
        if table is None or not bool((table == table[0, 0]).all()):
            return None
        return fitting(float(table[0, 0]), self.updates.dtype)

    # -- one node in one run -------------------------------------------------------------------------------------------------------

    def _operate(self, number: int, node: Node, run: _Run) -> None:
        out = run.memory
        previous = self._averages.get(number)
        if previous is not None:
            self._average(node, out, run)
        elif node.draw is not None:
            self._draw(node, out, run)
        elif PRIMITIVES[node.function].kind == "reducing":
            self._reduce(node, out, run)
        else:
            self._call(node, out, run)

    def _call(self, node: Node, out: Tensor, run: _Run) -> None:
        arguments = list(node.arguments)
        if node.function in COMMUTATIVE and self.merged.nodes[arguments[0]].function == "number":
            arguments.reverse()  # torch takes a float on the right without wrapping it
        into = TORCH_PRIMITIVES[node.function].into
        assert into is not None
        moving = {i: self._number(a) for i, a in enumerate(arguments) if self._moves(a)}
        operands = [None if i in moving else self._operand(a, run) for i, a in enumerate(arguments)]
        if node.function in ("-", "/") and isinstance(operands[0], float):
            operands[0] = torch.tensor(operands[0], dtype=out.dtype)  # once, not at every step
        if node.function == "*" and not moving:
            self.operations.append(partial(_multiply, operands[0], operands[1], out))
        elif node.function == "**" and isinstance(operands[1], float) and operands[1] == 2.0:
            self.operations.append(partial(_multiply, operands[0], operands[0], out))  # x * x, to the bit
        elif not moving:
            self.operations.append(lambda t: into(*operands, out=out))
        else:

            def operation(t: int) -> Tensor:
                values = [moving[i](t) if i in moving else x for i, x in enumerate(operands)]
                return into(*values, out=out)

            self.operations.append(operation)

    def _moves(self, number: int) -> bool:
        return self.merged.nodes[number].function == "number" and self._constant(number) is None

    def _operand(self, number: int, run: _Run) -> Tensor | float:
        constant = self._constant(number)
        return self._view(number, run.first, run.last) if constant is None else constant

    def _average(self, node: Node, memory: Tensor, run: _Run) -> None:
        """memory <- a memory + b x, in place."""
        scaled_previous, scaled_x = (self.merged.nodes[a] for a in average_parts(self.merged, node))
        read_a = self._number(number_of(self.merged, scaled_previous))
        read_b = self._number(number_of(self.merged, scaled_x))
        x = self._view(tensor_of(self.merged, scaled_x), run.first, run.last)

        def operation(t: int) -> Tensor:
            return memory.mul_(read_a(t)).add_(x, alpha=read_b(t))  # type: ignore[arg-type]  # `averages` admits floats only

        self.operations.append(operation)

    def _draw(self, node: Node, out: Tensor, run: _Run) -> None:
        assert node.draw is not None
        function, draw, source = node.function, node.draw, self.draws
        parts = self._read_by(node, run)
        if function == "noise":
            self.operations.append(lambda t: torch.mul(source.normal(draw, t).expand_as(out), parts[0](t), out=out))
            return
        probability = self._constant(node.arguments[1])
        if probability is None or self.merged.nodes[node.arguments[0]].function == "number":
            into = TORCH_PRIMITIVES["drop"].into
            assert into is not None
            self.operations.append(
                lambda t: into(parts[0](t), parts[1](t), source.uniform(draw, t).expand_as(out), out=out)
            )
            return
        # where(kept, x, 0) as "and" with all ones or all zeros: several times faster than torch.where, the same to the bit
        bits = torch.int32 if out.dtype == torch.float32 else torch.int64
        x_bits, out_bits = self._view(node.arguments[0], run.first, run.last).view(bits), out.view(bits)
        self.operations.append(lambda t: torch.bitwise_and(x_bits, source.kept(draw, t, probability), out=out_bits))

    def _reduce(self, node: Node, out: Tensor, run: _Run) -> None:
        function = TORCH_PRIMITIVES[node.function].function
        parts = self._read_by(node, run)
        # what is one value a tensor is reduced as one value, as in `norm(norm(g))`
        single = [self.merged.nodes[a].reduced for a in node.arguments]
        if node.function == "norm" and not any(single) and self.merged.nodes[node.arguments[0]].function != "number":
            self._norm(self._view(node.arguments[0], run.first, run.last), out)
            return

        def operation(t: int) -> None:
            values = [read(t) for read in parts]
            for first, last in self.segments:
                ends = [first + 1 if one else last for one in single]
                piece = [
                    v[..., first:end] if isinstance(v, Tensor) and v.shape[-1] > 1 else v
                    for v, end in zip(values, ends, strict=True)
                ]
                out[..., first:last] = function(*piece)

        self.operations.append(operation)

    def _norm(self, x: Tensor, out: Tensor) -> None:
        """Squares of all tensors at once, in memory that no argument lies in; twice as fast as one tensor after the other."""
        pieces = [out[..., first:last] for first, last in self.segments]

        def operation(t: int) -> None:
            torch.mul(x, x, out=out)
            for piece in pieces:
                piece.copy_(torch.sum(piece, -1, keepdim=True).sqrt_())

        self.operations.append(operation)

    def _read_by(self, node: Node, run: _Run) -> list[Callable[[int], Tensor | float]]:
        """Return how to read each argument of a node at step t."""
        return [
            self._number(a)
            if self.merged.nodes[a].function == "number"
            else _always(self._view(a, run.first, run.last))
            for a in node.arguments
        ]


def _multiply(x: Any, y: Any, out: Tensor, t: int) -> Tensor:
    return torch.mul(x, y, out=out)


def _copying(into: Tensor, value: Tensor) -> Operation:
    return lambda t: into.copy_(value)


def _always(value: Tensor) -> Callable[[int], Tensor | float]:
    return lambda t: value
