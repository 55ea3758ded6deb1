"""Entries: what tables and statistics are about, an optimizer under a schedule on a task, with its children in the task's metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from neuropt.evaluating.evidence import seen
from neuropt.evaluating.measure import Measure
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import Task

Key = tuple[str, str]
"""Optimizer and schedule."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One row.

    Args:
        task: it was trained on.
        study: its children.
        protocol: they followed.
    """

    task: Task
    study: Study
    protocol: Protocol

    @property
    def key(self) -> Key:
        """Optimizer and schedule."""
        return self.study.contender.name, self.study.schedule

    @property
    def label(self) -> str:
        """What sentences call it."""
        return label(self.key)

    @property
    def failed(self) -> bool:
        """Whether there is no result."""
        return not self.study.report

    @cached_property
    def measure(self) -> Measure:
        """The task's metric."""
        return Measure(self.task, self.protocol.metric(self.task))

    @cached_property
    def finals(self) -> list[float]:
        """Validation at the end, by seed."""
        return [self.measure.final(child) for child in self.study.report]

    @cached_property
    def merits(self) -> list[float]:
        """The same, so that more is better."""
        return [self.measure.merit(value) for value in self.finals]

    @property
    def seen(self) -> str | None:
        """Whether a search that found it saw the task or its family."""
        return seen(self.study.contender, self.task)

    def steps_to(self, target: float, consecutive: int) -> list[float]:
        """Return the steps that each seed took to the target."""
        return [
            self.measure.steps_to(target, child, self.protocol.evaluations, consecutive) for child in self.study.report
        ]

    @property
    def median_merit(self) -> float:
        """By which entries of a task are ranked; minus infinity for a failure."""
        if self.failed:
            return -math.inf
        ordered = sorted(self.merits)
        middle = len(ordered) // 2
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def label(key: Key) -> str:
    """Return what sentences call an optimizer under a schedule.

    >>> label(("adam", "constant")), label(("adam", "cosine"))
    ('adam', 'adam under cosine')
    """
    optimizer, schedule = key
    return optimizer if schedule == CONSTANT else f"{optimizer} under {schedule}"


def entries_of(studies: Sequence[tuple[Task, Sequence[Study]]], protocol: Protocol) -> list[Entry]:
    """Return all entries, task by task, in the order of the optimizers."""
    return [Entry(task, study, protocol) for task, found in studies for study in found]
