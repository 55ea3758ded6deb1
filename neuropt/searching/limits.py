"""How long a child may take and how much memory, and what an executor assumes where nobody says."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from neuropt.tasks import batch_order, build_model
from neuropt.tasks.task import Task, TaskData
from neuropt.training.threads import one_thread

GIB = 2**30

LEAST_SECONDS = 10.0
PATIENCE = 200.0
"""A child may take so many times as long as the plain steps of its task do on the driver: slower machines, dear rules, evaluation."""
TIMED_STEPS = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use, and where.

    Args:
        seconds: of wall-clock time; children that train together share the sum of theirs.
        memory: bytes that training may add to a process that holds the task's data.
        device: where it trains, a name of `neuropt.training.devices.find_device`.
        share: of the device's memory, for all children that train together.
        watched: whether a guard alone bounds the memory, by looking at it: CUDA reserves more than it uses, which the system would refuse.
    """

    seconds: float
    memory: int
    device: str = "cpu"
    share: float = 1.0
    watched: bool = False


def usual_seconds(task: Task, data: TaskData) -> float:
    """Return the limit for a child where none is given: max(10 s, 200 * steps * median time of a plain step)."""
    return max(LEAST_SECONDS, PATIENCE * task.steps * _step_seconds(task, data))


def _step_seconds(task: Task, data: TaskData) -> float:
    """Return the median time of a forward and backward pass of the task's model."""
    model = build_model(task, 0).train()
    taken = []
    with one_thread(), torch.random.fork_rng(devices=[]):
        for batch in batch_order(len(data.train), task.batch_size, TIMED_STEPS, 0):
            began = time.perf_counter()
            torch.autograd.backward(task.loss(model(data.train.inputs[batch]), data.train.targets[batch]))
            taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2]
