"""Targets: the value of the metric that time-to-target waits for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuropt.evaluating.entries import Entry
from neuropt.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Target:
    """Of one task.

    Args:
        value: of the metric, on validation.
        origin: in words.
    """

    value: float
    origin: str


def target_of(task: Task, entries: Sequence[Entry]) -> Target | None:
    """Return the task's own target; else the median at the end of the best tuned baseline; None where no baseline has results.

    The task's own is one of its metric, and says nothing where another one chooses.

    Args:
        entries: of the task.
    """
    if task.target is not None and entries[0].measure.metric == task.metric:
        return Target(task.target, "the task's own")
    baselines = [entry for entry in entries if not entry.failed and entry.study.contender.optimizer is not None]
    if not baselines:
        return None
    best = max(baselines, key=lambda entry: entry.median_merit)
    value = best.measure.merit(best.median_merit)  # merit is its own inverse
    return Target(value, f"the median of {best.label} at the end, n = {len(best.finals)}")
