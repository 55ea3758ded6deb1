"""What an evaluation found: rows for tables, and every child for those who look closer."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.row import WORST_ACCURACY, Row, value
from neuropt.evaluating.statistics import Comparison, compare
from neuropt.tasks.task import Task
from neuropt.training.children import Child

TABLE, SUMMARY = "children.csv", "evaluation.json"
CHILD_COLUMNS = tuple(field.name for field in fields(Child))
COLUMNS = ("task", "optimizer", "schedule", "phase", *CHILD_COLUMNS)


@dataclass(frozen=True)
class Evaluation:
    """Optimizers compared on tasks.

    Args:
        rows: by task, the best median validation first.
        studies: children behind the rows, by task and in the order of the optimizers.
        tasks: with the budget they were given.
        protocol: seeds, reward and grid.
        facts: hashes of data and weights, versions.
    """

    rows: tuple[Row, ...]
    studies: tuple[tuple[Task, tuple[Study, ...]], ...]
    protocol: Protocol
    facts: dict[str, str]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, with their budgets."""
        return tuple(task for task, _ in self.studies)

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
        chosen = next(((t, studies) for t, studies in self.studies if t.name == task), None)
        if chosen is None:
            raise ValueError(f"task {task!r} is not in this evaluation; there are {', '.join(self._task_names())}")
        schedule = self._schedule(schedule)
        pairs = (optimizer, schedule), (reference, reference_schedule or schedule)
        return compare(*(self._values(*chosen, name, under) for name, under in pairs))

    def _schedule(self, schedule: str | None) -> str:
        if schedule is not None:
            return schedule
        known = self.protocol.schedules
        if len(known) != 1:
            raise ValueError(f"compare(schedule=...) must name one of {', '.join(known)}")
        return known[0]

    def _task_names(self) -> list[str]:
        return [task.name for task in self.tasks]

    def _values(self, task: Task, studies: Sequence[Study], optimizer: str, schedule: str) -> list[float]:
        """Return the metric on the report seeds, higher is better."""
        if schedule not in self.protocol.schedules:
            raise ValueError(
                f"schedule {schedule!r} is not in this evaluation; there are {', '.join(self.protocol.schedules)}"
            )
        known = {s.contender.name: s for s in studies if s.report and s.schedule == schedule}
        if optimizer not in known:
            raise ValueError(
                f"optimizer {optimizer!r} has no results on {task.name}; those with results are {', '.join(known)}"
            )
        children = known[optimizer].report
        if self.protocol.metric(task) == "accuracy":
            return [value(child, "accuracy", WORST_ACCURACY) for child in children]
        return [-value(child, "loss", task.loss_bound) for child in children]

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield every child as one record: task, optimizer, schedule, phase (tune or report), and what the child left behind."""
        for task, studies in self.studies:
            for study in studies:
                phases = [("tune", child) for children in study.tuning.values() for child in children]
                phases += [("report", child) for child in study.report]
                for phase, child in phases:
                    head = {"optimizer": study.contender.name, "schedule": study.schedule, "phase": phase}
                    yield {"task": task.name, **head, **asdict(child)}

    def to_csv(self, path: Path) -> None:
        """Write every child as one line; an absent number is empty, infinity is `inf`."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.lines())

    def to_json(self) -> str:
        """Return protocol, facts and rows as JSON; all numbers in it are finite."""
        protocol = asdict(self.protocol)
        budgets = {task.name: {"steps": task.steps} for task in self.tasks}
        content = {"protocol": protocol, "facts": self.facts, "tasks": budgets, "rows": [asdict(r) for r in self.rows]}
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: Path) -> None:
        """Write `children.csv` and `evaluation.json` into a folder that is there."""
        self.to_csv(folder / TABLE)
        (folder / SUMMARY).write_text(self.to_json(), encoding="utf-8")
