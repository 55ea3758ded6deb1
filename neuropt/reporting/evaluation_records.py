"""What an evaluation is made of, as a report needs it; docs/evaluation.md says what each name means. A missing number is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from neuropt.reporting.tables import shortened

ROOM = 26
"""Letters of a name in a figure."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """A task of an evaluation: what it measures, for how long, and what a diverged child counts as."""

    name: str
    family: str
    metric: str
    higher_is_better: bool
    steps: int
    worst: float | None


@dataclass(frozen=True, slots=True)
class Middle:
    """A median with its quartiles, and its interval where there are six values or more."""

    median: float | None
    q1: float | None = None
    q3: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """How soon a target was reached: by how many of n, and the median of each count, None for a miss."""

    value: float | None
    reached: int
    n: int
    steps: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Against:
    """An entry beside the reference, paired by seed."""

    reference: str
    reference_schedule: str
    wins: int
    ties: int
    losses: int
    difference: Middle
    improvement: float | None
    p_holm: float | None
    words: str


@dataclass(frozen=True, slots=True)
class Default:
    """An entry at its default learning rate."""

    learning_rate: float | None
    n: int
    diverged: int
    final: Middle


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An optimizer under a schedule on a task, tuned and reported. Names as in docs/evaluation.md."""

    task: str
    optimizer: str
    schedule: str
    seen: str
    failure: str
    trials: int
    learning_rate: float | None
    hyperparameters: Mapping[str, object]
    edge: bool
    n: int
    diverged: int
    final: Middle
    iqm: Middle
    best: float | None
    test: Middle
    rank: float | None
    target: Target | None
    default: Default | None
    cost: Mapping[str, float | None]
    against: Against | None


@dataclass(frozen=True, slots=True)
class ChildRow:
    """A child of an evaluation."""

    task: str
    optimizer: str
    schedule: str
    phase: str
    trial: int | None
    learning_rate: float
    diverged: bool
    final: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a learning curve."""

    task: str
    optimizer: str
    schedule: str
    phase: str
    seed: int
    step: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a traced training: |u| for each unit of learning rate, and its cosine with the gradient."""

    task: str
    optimizer: str
    schedule: str
    seed: int
    step: int
    update_norm: float | None
    cosine: float | None


Entry = tuple[str, str]
"""Optimizer and schedule."""


@dataclass(frozen=True)
class EvaluationData:
    """An evaluation: rows, children, curves, traces (None where none were recorded), and what else its summary says."""

    folder: Path
    protocol: Mapping[str, Any]
    tasks: Mapping[str, TaskFacts]
    rules: Mapping[str, str | None]
    rows: Sequence[EntryRow]
    ranks: Sequence[tuple[Entry, float, int]]
    critical_difference: float | None
    rank_p: float | None
    rank_words: str
    tau: Sequence[float]
    profile: Sequence[tuple[Entry, Sequence[float]]]
    profile_words: str
    best_of_k: Sequence[tuple[str, Entry, Sequence[float], Sequence[float | None]]]
    wins: Mapping[Entry, tuple[int, int, int, int]]
    grafting: Mapping[str, Any] | None
    missing: Sequence[str]
    claims: Sequence[str]
    facts: Mapping[str, str]
    command: str
    children: Sequence[ChildRow] = field(default_factory=tuple)
    curves: Sequence[Point] = field(default_factory=tuple)
    traces: Sequence[Step] | None = None

    @property
    def schedules(self) -> list[str]:
        """Schedules, in the order of the rows."""
        return list(dict.fromkeys(row.schedule for row in self.rows))

    @cached_property
    def short_names(self) -> dict[str, str]:
        """Optimizers as figures call them: `adamw(...)`, and the middle of long rules left out; no two alike."""
        names: dict[str, str] = {}
        for optimizer in dict.fromkeys(row.optimizer for row in self.rows):
            stem = optimizer.partition("(")[0]
            plain = stem.isidentifier() and optimizer.endswith(")")
            short = f"{stem}(...)" if plain and "=" in optimizer else shortened(optimizer, ROOM)
            alike = sum(other == short for other in names.values())
            names[optimizer] = short if not alike else f"{shortened(optimizer, ROOM - 5)} [{len(names) + 1}]"
        return names

    def label(self, entry: Entry) -> str:
        """Return what a figure calls an entry: without its schedule where there is only one."""
        name = self.short_names.get(entry[0], shortened(entry[0], ROOM))
        return name if len(self.schedules) <= 1 else f"{name}, {entry[1]}"
