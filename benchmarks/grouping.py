"""Would fewer calls make a population's rules faster? What rules have in common as one call, tried beside the way it is done.

    python benchmarks/grouping.py                        # 20 and 200 rules of icml2017 on digits-mlp: a minute
    python benchmarks/grouping.py --rules 20 --rates 1 2

A node of the merged graph that neighbouring rules need is one call already. Grouped, it is one call with all nodes that are computed by
the same function of the same numbers at the same depth, whichever rules need them (`sign(x) * y` and `sign(z) + y` take a sign first), over
operands that are copied side by side (one `torch.cat`) where they do not lie so already. *at most* bounds the rows of such a call, for what
it writes had better stay in the cache. Rules stand in the usual order, in which those that share much are neighbours, or by their last
operation. All variants take turns, and must leave the same weights, to the bit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from unittest.mock import patch

import torch
from children import proposed
from population_split import Calls, timed
from rich.console import Console
from rich.table import Table
from torch import Tensor

from neuropt.compiling.program import Program, compile_program
from neuropt.tasks import get_task, load_task_data
from neuropt.training import population
from neuropt.training.merging import order_for_sharing
from neuropt.training.operations import Operand, calling, copying, drawing
from neuropt.training.population import Population
from neuropt.training.rows import Rows, Run
from neuropt.training.train import whole_float32
from search_space.primitives import PRIMITIVES

EVERYTHING = 1 << 30
Unit = tuple[int, int, int]
"""A node, and its first and last row."""


class Grouped(Rows):
    """Rows in which whatever is alike at one depth is one call, for whichever rules it is."""

    most_rows = EVERYTHING

    def _prepare(self) -> None:
        self._memory, self._copied = list[Tensor](), list[Tensor]()
        for number, node in enumerate(self.merged.nodes):
            if node.function == "previous":
                self.runs[number] = [self._new_run(first, last, node.start) for first, last in self._spans(node)]
        groups = list(self._parts(self._alike()))
        last_use = self._last_uses(groups)
        free: dict[int, list[Tensor]] = {}
        for position, group in enumerate(groups):
            out = self._prepare_group(group, free, lasting=position not in last_use)
            for memory in (out, *self._copied):
                if last_use.get(position) == position or memory is not out:
                    free.setdefault(memory.shape[1], []).append(memory)
            for done, by in last_use.items():
                if by == position != done:
                    memory = self._memory[done]
                    free.setdefault(memory.shape[1], []).append(memory)
        self._prepare_updates()
        self._prepare_remembering()

    def _alike(self) -> list[list[Unit]]:
        """Return all nodes, by depth; those computed by the same function of the same numbers at the same depth together."""
        nodes, depths, groups = self.merged.nodes, dict[int, int](), dict[object, list[Unit]]()
        for n, node in enumerate(nodes):
            if node.function in PRIMITIVES and n not in self._folded:
                depths[n] = 1 + max((depths.get(a, 0) for a in self._read(n)), default=0)
                alike = n not in self._averages and PRIMITIVES[node.function].kind != "reducing"
                numbers = tuple(a if nodes[a].function == "number" else -1 for a in node.arguments)
                key = (depths[n], node.function, node.draw, numbers) if alike else (depths[n], n)
                for first, last in self._spans(node):
                    groups.setdefault(key if alike else (*key, first), []).append((n, first, last))
        by_depth = sorted(groups.values(), key=lambda group: depths[group[0][0]])
        return [sorted(group, key=lambda unit: unit[1]) for group in by_depth]

    def _parts(self, groups: list[list[Unit]]) -> Iterator[list[Unit]]:
        """Cut groups that have too many rows."""
        for group in groups:
            part: list[Unit] = []
            for unit in group:
                if part and sum(u[2] - u[1] for u in (*part, unit)) > self.most_rows:
                    yield part
                    part = []
                part.append(unit)
            yield part

    def _last_uses(self, groups: list[list[Unit]]) -> dict[int, int]:
        """Return, for each group whose memory is not kept, the last group that reads it."""
        lasting = set(self.merged.feeds.values()) | set(self.merged.results) | set(self._averages)
        writer = {unit: position for position, group in enumerate(groups) for unit in group}
        by_node: dict[int, list[Unit]] = {}
        for unit in writer:
            by_node.setdefault(unit[0], []).append(unit)
        found = {p: p for p, group in enumerate(groups) if not lasting & {n for n, _, _ in group}}
        for position, group in enumerate(groups):
            for n, first, last in group:
                for a in self._read(n):
                    for unit in by_node.get(a, []):
                        if unit[1] < last and first < unit[2] and writer[unit] in found:
                            found[writer[unit]] = max(found[writer[unit]], position)
        return found

    def _prepare_group(self, group: list[Unit], free: dict[int, list[Tensor]], lasting: bool) -> Tensor:
        rows, (n, first, last) = sum(u[2] - u[1] for u in group), group[0]
        node, pool = self.merged.nodes[n], free.get(rows, [])
        out = self._in_place(n, first, last)
        if out is None:
            out = pool.pop() if pool and not lasting else self._new(rows)
        self._memory.append(out)
        self._copied = []
        place = 0
        for unit, a, b in group:
            self.runs.setdefault(unit, []).append(Run(a, b, out[:, place : place + b - a]))
            place += b - a
        if len(group) == 1:
            self._operate(n, node, self.runs[n][-1])
            return out
        operands = [self._beside(slot, group, rows, pool) for slot in range(len(node.arguments))]
        self.operations.append(
            calling(node.function, operands, out)
            if node.draw is None
            else drawing(node.function, node.draw, operands, self.draws, out)
        )
        return out

    def _beside(self, slot: int, group: list[Unit], rows: int, pool: list[Tensor]) -> Operand:
        """Return one operand of a whole group: a number, a view where its rows lie beside each other, or memory they are copied to."""
        found = [self._operand(self.merged.nodes[n].arguments[slot], first, last) for n, first, last in group]
        if not isinstance(found[0], Tensor):
            return found[0]
        views = [view for view in found if isinstance(view, Tensor)]
        joined = joined_view(views)
        if joined is not None:
            return joined
        stack = pool.pop() if pool else self._new(rows)
        self._copied.append(stack)
        self.operations.append(lambda t: torch.cat(views, 1, out=stack))
        return stack

    def _prepare_updates(self) -> None:
        values = [self._operand(self.merged.results[r], *span) for r, span in enumerate(self.slices)]
        views = [v for v in values if isinstance(v, Tensor)]
        if len(views) == len(values):
            self.operations.append(lambda t: torch.cat(views, 1, out=self.updates))
        else:
            self.operations += [copying(self.updates[:, a:b], v) for (a, b), v in zip(self.slices, values, strict=True)]


def joined_view(views: Sequence[Tensor]) -> Tensor | None:
    """Return rows that lie beside each other in memory as one view."""
    ends = [v.data_ptr() + v.shape[1] * v.stride(1) * v.element_size() for v in views]
    if len(views[0]) != 1 or any(v.data_ptr() != end for v, end in zip(views[1:], ends, strict=False)):
        return None
    rows = sum(v.shape[1] for v in views)
    try:
        return views[0].as_strided((1, rows, views[0].shape[2]), views[0].stride())
    except RuntimeError:
        return None  # neighbours by chance, of two pieces of memory


def by_last_operation(programs: Sequence[Program]) -> list[int]:
    """Return an order of the rules by their last operation, then by what it is of."""

    def key(rule: int) -> tuple[object, ...]:
        program = programs[rule]
        value, found = program.result, list[str]()
        while value >= len(program.leaves):
            instruction = program.instructions[value - len(program.leaves)]
            found.append(instruction.function)
            value = instruction.arguments[0]
        return (tuple(found), rule)

    return sorted(range(len(programs)), key=key)


ORDERS: dict[str, Callable[[Sequence[Program]], list[int]]] = {
    "by what is shared": order_for_sharing,
    "by last operation": by_last_operation,
}


def measure(rules_of: int, keep: int, space: str, turns: int) -> list[list[str]]:
    """Return a row a variant: calls of a step, microseconds a child, and the ratio to the way it is done."""
    task = get_task("digits-mlp")
    data = load_task_data(task)
    rules, rates = proposed(task, data, space, rules_of)
    programs = [compile_program(rule) for rule in rules]
    kept = [tuple(r[len(r) - keep :]) for r in rates]
    variants: dict[tuple[str, str], type[Rows]] = {}
    for name in ORDERS:
        variants[name, "not grouped"] = Rows
        for most in (14, 56, EVERYTHING):
            label = "all" if most == EVERYTHING else f"{most} rows"
            variants[name, label] = type("Grouped", (Grouped,), {"most_rows": most})
    cohorts = {}
    with whole_float32():
        for (order, label), kind in variants.items():
            with patch.object(population, "order_for_sharing", ORDERS[order]), patch.object(population, "Rows", kind):
                cohorts[order, label] = Population(task, data, programs, kept, seeds=[0])
        for cohort in cohorts.values():
            cohort.advance(3)
        check(list(cohorts.values()))
        times: dict[tuple[str, str], list[float]] = {key: [] for key in cohorts}
        for _ in range(turns):
            for key, cohort in cohorts.items():
                times[key].append(timed(partial(cohort.rows.step, 3), repeats=3, runs=max(2, 400 // rules_of)))
        rows = []
        for key, cohort in cohorts.items():
            with Calls() as calls:
                cohort.rows.step(3)
            usual = times["by what is shared", "not grouped"]
            ratio = median(mine / other for mine, other in zip(times[key], usual, strict=True))
            micro = 1e6 * median(times[key]) / len(cohort.columns)
            rows.append([str(rules_of), str(keep), *key, str(calls.count), f"{micro:.2f}", f"{ratio:.2f}"])
    return rows


def check(cohorts: Sequence[Population]) -> None:
    """Stop if two variants differ in a bit of any child's weights."""
    found = []
    for cohort in cohorts:
        order = sorted(range(len(cohort.columns)), key=lambda c: (cohort.columns[c].rule, cohort.columns[c].rate))
        found.append(cohort.weights[:, order].view(torch.int32))
    for other in found[1:]:
        assert torch.equal(found[0], other), "a variant has other numbers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rules", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--rates", type=int, nargs="+", default=[7, 2, 1])
    parser.add_argument("--space", default="icml2017")
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(title=f"rules' part of a step, digits-mlp, {arguments.space}, torch {torch.__version__}")
    for column in ("rules", "rates", "order", "at most", "calls", "us a child", "time / usual"):
        table.add_column(column, justify="right")
    for rules_of in arguments.rules:
        for keep in arguments.rates:
            for row in measure(rules_of, keep, arguments.space, arguments.turns):
                table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
