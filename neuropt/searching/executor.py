"""Where children are trained: an executor runs an engine's trials, or a list of works, on some processes.

Two exist: `TuneExecutor` (Ray, one machine or a cluster) and `InProcessExecutor` (this process, no Ray). Both give the same rewards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from neuropt.searching.fidelity import judge_of
from neuropt.tasks.task import Task, TaskData
from neuropt.training.work import Done, Work, do_work


@dataclass(frozen=True, slots=True)
class Trial:
    """A piece of work of a search: number `number` in the order of asking."""

    number: int
    work: Work


class Engine(Protocol):
    """What an executor needs of a search."""

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        """Return the next trial; `later` if results must come first; `finished` if there will be none."""
        ...

    def finish(self, number: int, done: Done) -> None:
        """Take the result of a trial."""
        ...


class Executor(Protocol):
    """Trains children of one task."""

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        ...

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Do the works and yield (position, result) as they are done, in any order."""
        ...

    def close(self) -> None:
        """Give back what was started."""
        ...


class InProcessExecutor:
    """Trains in this process, one work after the other. It cannot end a child that hangs, exits or takes all memory; `TuneExecutor` can.

    Args:
        task: of all works.
        data: of the task.
    """

    def __init__(self, task: Task, data: TaskData) -> None:
        self.task, self.data = task, data

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        while isinstance(trial := engine.next_trial(), Trial):
            judge = judge_of(trial.work, self.task)
            engine.finish(trial.number, do_work(trial.work, self.task, self.data, judge))

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Do the works in their order."""
        for position, work in enumerate(works):
            yield position, do_work(work, self.task, self.data)

    def close(self) -> None:
        """Nothing was started."""
