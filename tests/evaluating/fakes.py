"""An executor whose children are written down instead of trained, and a task that is not batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import nn

from neuropt.searching.executor import Engine
from neuropt.tasks import get_task
from neuropt.training.children import Child
from neuropt.training.work import Done, Job, Trained, Work

MODULE_TASK = replace(
    get_task("digits-mlp").with_budget(4),
    name="digits-module",
    model=lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)),
)

Outcome = Callable[[Job, float, int], Child | str]
"""(job, learning rate, seed) -> the child, or why the job fails"""


class WrittenExecutor:
    """Does works by looking the children up; answers in reverse, as the last may be done first."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.works: list[Work] = []

    def search(self, engine: Engine) -> None:
        raise AssertionError("an evaluation maps works")

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        self.works.extend(works)
        for position, work in reversed(list(enumerate(works))):
            yield position, Done(tuple(self._trained(job, work) for job in work.jobs), 0.0)

    def _trained(self, job: Job, work: Work) -> Trained:
        rows = []
        for rate in job.learning_rates:
            row = [self.outcome(job, rate, seed) for seed in work.seeds]
            for child in row:
                if isinstance(child, str):
                    return Trained((), child)
            rows.append(tuple(child for child in row if not isinstance(child, str)))
        return Trained(tuple(rows))

    def close(self) -> None:
        pass


def trained(rate: float, seed: int, accuracy: float, loss: float = 1.0, test_accuracy: float = 0.5) -> Child:
    """A child that came to the end."""
    return Child(rate, seed, "trained", 150, loss, loss, accuracy, loss, test_accuracy)


def diverged(rate: float, seed: int) -> Child:
    """A child that did not."""
    return Child(rate, seed, "diverged", 3, float("inf"))
