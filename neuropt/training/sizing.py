"""How many children share a buffer on a device: what they need, and what is free."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neuropt.tasks import batch_order, build_model
from neuropt.tasks.task import Task, TaskData

REMEMBERED_ROWS = 6
"""Rows of P numbers a child: weights, gradients, updates, two averages, and the rules' scratch memory."""
BACKWARD = 2
"""A pass holds what forward saved, and gradients of it on the way back."""
FREE_SHARE = 0.5
"""Of the free memory, what one population may take: the allocator and the rules' temporaries need the rest."""


@dataclass(frozen=True, slots=True)
class ChildBytes:
    """Memory of one child.

    Args:
        row: of its parameters.
        saved: what its forward pass keeps for the backward pass.
    """

    row: int
    saved: int

    @property
    def total(self) -> int:
        """Bytes of a child in training.

        >>> ChildBytes(row=100, saved=50).total
        700
        """
        return REMEMBERED_ROWS * self.row + BACKWARD * self.saved


def child_bytes(task: Task, data: TaskData) -> ChildBytes:
    """Return what a child of a task needs, by one forward pass on the CPU; each piece of memory counts once."""
    model = build_model(task, seed=0).train()
    row = sum(p.nbytes for p in model.parameters())
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    pieces: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in known:
            pieces[storage.data_ptr()] = storage.nbytes()
        return x

    batch = batch_order(len(data.train), task.batch_size, 1, seed=0)[0]
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        loss = task.loss(model(data.train.inputs[batch]), data.train.targets[batch])
    del loss  # it held the pieces until here, so that none had the address of another
    return ChildBytes(row, sum(pieces.values()))


def children_that_fit(need: ChildBytes, free: int, share: float = FREE_SHARE) -> int:
    """Return how many children fit into a share of the free memory; at least one, which is then tried all the same.

    >>> children_that_fit(ChildBytes(row=100_000, saved=200_000), free=16_000_000_000)
    8000
    """
    return max(1, math.floor(share * free) // need.total)


def rules_that_fit(task: Task, data: TaskData, children_a_rule: int, device: torch.device) -> int | None:
    """Return how many rules share a buffer on a GPU, by its free memory; None on a CPU, whose cache bounds them first."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, children_that_fit(child_bytes(task, data), free) // children_a_rule)
