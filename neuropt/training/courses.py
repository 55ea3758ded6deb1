"""How one child goes through its budget under a schedule: which batch comes next, what follows a step, what predicts at the end.

rates, weight decay    the task's batches; the scheduler is stepped after each step
snapshots              the same, and the weights of each cycle's end predict together
growing batch          fewer, larger batches, until as many examples are seen
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.optimizers.growing_batch import GrowingBatch
from neuropt.optimizers.named_schedules import CONSTANT, ENSEMBLE, create_schedule, find_schedule
from neuropt.optimizers.snapshots import SnapshotEnsemble, SnapshotLR
from neuropt.tasks import batch_order, cross_entropy
from neuropt.tasks.task import Task


class Course(Protocol):
    """The way of one child."""

    def next_batch(self) -> Tensor:
        """Return the numbers of the examples of the next step."""
        ...

    def after_step(self) -> None:
        """Do what follows the optimizer's step."""
        ...

    def predict(self, inputs: Tensor) -> Tensor:
        """Return logits, in evaluation mode."""
        ...


class ScheduledCourse:
    """The task's own batches, under a scheduler; without one, at a constant rate."""

    def __init__(
        self, task: Task, examples: int, model: nn.Module, optimizer: Optimizer, schedule: str, seed: int
    ) -> None:
        self.model, self.t = model, 0
        self.order = batch_order(examples, task.batch_size, task.steps, seed)
        self.schedule = None if schedule == CONSTANT else create_schedule(schedule, optimizer, task.steps)

    def next_batch(self) -> Tensor:
        """Return the next batch of the task."""
        self.t += 1
        return self.order[self.t - 1]

    def after_step(self) -> None:
        """Step the scheduler."""
        if self.schedule is not None:
            self.schedule.step()

    def predict(self, inputs: Tensor) -> Tensor:
        """Return what the model says."""
        logits: Tensor = self.model(inputs)
        return logits


class SnapshotCourse(ScheduledCourse):
    """The task's batches under `SnapshotLR`; the ends of the last cycles predict together."""

    def __init__(
        self, task: Task, examples: int, model: nn.Module, optimizer: Optimizer, schedule: str, seed: int
    ) -> None:
        super().__init__(task, examples, model, optimizer, schedule, seed)
        self.ensemble = SnapshotEnsemble(model, last=ENSEMBLE)

    def after_step(self) -> None:
        """Step the scheduler, and keep the weights at a cycle's end."""
        super().after_step()
        assert isinstance(self.schedule, SnapshotLR)
        if self.schedule.cycle_ended:
            self.ensemble.collect()

    def predict(self, inputs: Tensor) -> Tensor:
        """Return the logarithms of the averaged probabilities, which are logits too; what the model says before the first end."""
        return self.ensemble.log_probabilities(inputs) if len(self.ensemble) else super().predict(inputs)


class GrowingCourse:
    """Batches that grow, until `task.steps` batches of the task's size are seen."""

    def __init__(
        self, task: Task, examples: int, model: nn.Module, optimizer: Optimizer, schedule: str, seed: int
    ) -> None:
        self.model = model
        self.sampler = GrowingBatch(
            create_schedule(schedule, optimizer, task.steps), task.batch_size, examples, seed=seed
        )
        self.epoch = iter(self.sampler)
        self.examples = 0

    def next_batch(self) -> Tensor:
        """Return the next batch, from the next epoch where this one has ended."""
        batch = next(self.epoch, None)
        if batch is None:
            self.epoch = iter(self.sampler)
            batch = next(self.epoch)
        self.examples = len(batch)
        return torch.tensor(batch)

    def after_step(self) -> None:
        """Step the schedule once for every batch of the task's size that was in this one."""
        self.sampler.advance(self.examples)

    def predict(self, inputs: Tensor) -> Tensor:
        """Return what the model says."""
        logits: Tensor = self.model(inputs)
        return logits


def begin_course(task: Task, examples: int, model: nn.Module, optimizer: Optimizer, schedule: str, seed: int) -> Course:
    """Return the course of one child.

    Args:
        task: batch size and budget.
        examples: number of training examples.
        model, optimizer: of the child.
        schedule: a name of `neuropt.optimizers.named_schedules`.
        seed: of the order of the examples.

    Raises:
        ValueError: snapshots of a task whose outputs are no probabilities.
    """
    match find_schedule(schedule).moves:
        case "lr, with snapshots":
            if task.loss is not cross_entropy:
                raise ValueError(f"schedule {schedule!r} averages probabilities, but {task.name} has other outputs")
            return SnapshotCourse(task, examples, model, optimizer, schedule, seed)
        case "batch and lr":
            return GrowingCourse(task, examples, model, optimizer, schedule, seed)
        case _:
            return ScheduledCourse(task, examples, model, optimizer, schedule, seed)
