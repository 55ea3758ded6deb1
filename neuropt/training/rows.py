"""Apply many rules to a buffer in which each child is a row: u for every row, from g and w, once a step.

All buffers have shape (seeds, rows, P). Rule r owns the rows `slices[r]`, one for each of its learning rates. A node of the merged graph
is computed for whole runs of neighbouring rules that need it, in one torch call a run; a node that one rule needs uses small scratch
memory that the next rule uses again, so it stays in the cache. All calls are prepared when a `Rows` is made; a step only runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from neuropt.compiling.program import Program
from neuropt.training.averages import average_parts, averages, folded, number_of, tensor_of
from neuropt.training.children import Column
from neuropt.training.merging import Merged, Node
from neuropt.training.operations import (
    Operand,
    Operation,
    StepNumber,
    averaging,
    calling,
    copying,
    drawing,
    reducing,
)
from neuropt.training.population_draws import Draws
from search_space.primitives import PRIMITIVES


@dataclass(slots=True)
class Run:
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
        self.runs: dict[int, list[Run]] = {}
        self.operations: list[Operation] = []
        self.free: dict[int, list[Tensor]] = {}
        self._numbers: dict[int, StepNumber] = {}
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

    def take_over(self, before: Rows, old: Sequence[Column], present: Sequence[Column]) -> None:
        """Fill what is remembered from the rows before some columns left.

        Args:
            before: rows of the old columns.
            old, present: the columns before and now, those of a rule beside each other; the present ones are among the old.
        """
        was = {rule: position for position, rule in enumerate(dict.fromkeys(c.rule for c in old))}
        for position, rule in enumerate(dict.fromkeys(c.rule for c in present)):
            rates = [c.rate for c in old if c.rule == rule]
            stay = torch.tensor([rates.index(c.rate) for c in present if c.rule == rule], device=self.updates.device)
            for name in self.merged.remembered[position]:
                self.remembered(position, name).copy_(before.remembered(was[rule], name)[:, stay])

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
            self.operations.append(copying(memory, stash))

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

    def _new_run(self, first: int, last: int, start: float) -> Run:
        return Run(first, last, self._new(last - first).fill_(start))

    def _prepare_shared(self, number: int, node: Node) -> None:
        self.runs[number] = []
        for first, last in self._spans(node):
            memory = self._in_place(number, first, last)
            run = Run(first, last, self._new(last - first) if memory is None else memory)
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
            self.runs[n] = [Run(first, last, memory)]
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
        return copying(into, self._operand(number, first, last))

    def _operand(self, number: int, first: int, last: int) -> Operand:
        is_number = self.merged.nodes[number].function == "number"
        return self._number(number) if is_number else self._view(number, first, last)

    def _number(self, number: int) -> StepNumber:
        if number not in self._numbers:
            table = self.merged.nodes[number].table
            assert table is not None
            self._numbers[number] = StepNumber(table, self.updates)
        return self._numbers[number]

    def _operate(self, number: int, node: Node, run: Run) -> None:
        """Prepare one node in one run."""
        out = run.memory
        if number in self._averages:
            kept, added = (self.merged.nodes[part] for part in average_parts(self.merged, node))
            a, b = (self._number(number_of(self.merged, product)) for product in (kept, added))
            x = self._view(tensor_of(self.merged, added), run.first, run.last)
            self.operations.append(averaging(out, a, b, x))
            return
        operands = [self._operand(a, run.first, run.last) for a in node.arguments]
        if node.draw is not None:
            self.operations.append(drawing(node.function, node.draw, operands, self.draws, out))
        elif PRIMITIVES[node.function].kind == "reducing":
            single = [self.merged.nodes[a].reduced for a in node.arguments]
            self.operations.append(reducing(node.function, operands, single, self.segments, out))
        else:
            self.operations.append(calling(node.function, operands, out))
