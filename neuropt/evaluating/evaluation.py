"""What an evaluation found: rows for tables, a summary with its claims, and every child for those who look closer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neuropt.evaluating.config import EvaluationConfig
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import Comparison, compare
from neuropt.evaluating.summary import Summary
from neuropt.evaluating.tracing import Trace
from neuropt.evaluating.written import (
    CHILD_COLUMNS,
    CHILDREN,
    CURVE_COLUMNS,
    CURVES,
    PROVENANCE,
    SUMMARY,
    TRACE_COLUMNS,
    TRACES,
    child_lines,
    curve_lines,
    to_json,
    trace_lines,
    write_csv,
    write_json,
)
from neuropt.tasks.task import Task


@dataclass(frozen=True)
class Evaluation:
    """Optimizers compared on tasks.

    Args:
        rows: by task, the best median validation first.
        studies: children behind the rows, by task and in the order of the optimizers.
        protocol: seeds, reward and grid.
        facts: hashes of data and weights, versions.
        config: what was asked for.
        costs: of a step, by task and optimizer.
        provenance: versions, hashes, and the command that repeats it.
        traces: of the entries that were trained here, by task.
    """

    rows: tuple[Row, ...]
    studies: tuple[tuple[Task, tuple[Study, ...]], ...]
    protocol: Protocol
    facts: Mapping[str, str]
    config: EvaluationConfig
    costs: Mapping[tuple[str, str], Mapping[str, Any]]
    provenance: Mapping[str, Any]
    traces: tuple[tuple[Task, tuple[Trace, ...]], ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, with their budgets."""
        return tuple(task for task, _ in self.studies)

    @cached_property
    def _summary(self) -> Summary:
        return Summary(self.studies, self.protocol, self.config, self.costs)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Rows, statistics and claims, as docs/evaluation.md says."""
        return self._summary.content(self.facts)

    def compare(
        self,
        task: str,
        optimizer: str,
        reference: str,
        schedule: str | None = None,
        reference_schedule: str | None = None,
    ) -> Comparison:
        """Compare two optimizers on a task's validation metric, paired by seed: same initial weights and batches.

        Args:
            schedule: of the optimizer; None where the evaluation has one only.
            reference_schedule: of the reference; None is `schedule`.

        Raises:
            ValueError: a task, an optimizer or a schedule that is not here, or that failed.
        """
        if task not in self._task_names():
            raise ValueError(f"task {task!r} is not in this evaluation; there are {', '.join(self._task_names())}")
        schedule = self._schedule(schedule)
        pairs = (optimizer, schedule), (reference, reference_schedule or schedule)
        return compare(*(self._merits(task, name, under) for name, under in pairs))

    def _schedule(self, schedule: str | None) -> str:
        if schedule is not None:
            return schedule
        known = self.protocol.schedules
        if len(known) != 1:
            raise ValueError(f"compare(schedule=...) must name one of {', '.join(known)}")
        return known[0]

    def _task_names(self) -> list[str]:
        return [task.name for task in self.tasks]

    def _merits(self, task: str, optimizer: str, schedule: str) -> Sequence[float]:
        """Return the metric on the report seeds, higher is better."""
        if schedule not in self.protocol.schedules:
            raise ValueError(
                f"schedule {schedule!r} is not in this evaluation; there are {', '.join(self.protocol.schedules)}"
            )
        known = {e.key[0]: e for e in self._summary.of(task) if not e.failed and e.key[1] == schedule}
        if optimizer not in known:
            raise ValueError(
                f"optimizer {optimizer!r} has no results on {task}; those with results are {', '.join(known)}"
            )
        return known[optimizer].merits

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield every child as one record of `children.csv`."""
        for entry in self._summary.entries:
            name = entry.task.name
            cost = self.costs.get((name, entry.key[0]))
            yield from child_lines(entry, self._summary.targets[name], self.config.consecutive, cost)

    def to_json(self) -> str:
        """Return the summary as JSON; all numbers in it are finite."""
        return to_json(self.summary)

    def save(self, folder: Path) -> None:
        """Write the five files, the summary last; the ledger and the configuration are there already."""
        write_csv(folder / CHILDREN, CHILD_COLUMNS, self.lines())
        curves = (line for entry in self._summary.entries for line in curve_lines(entry))
        write_csv(folder / CURVES, CURVE_COLUMNS, curves)
        traced = (line for task, traces in self.traces for trace in traces for line in trace_lines(task, trace))
        write_csv(folder / TRACES, TRACE_COLUMNS, traced)
        write_json(folder / PROVENANCE, dict(self.provenance))
        write_json(folder / SUMMARY, self.summary)
