"""What an optimizer is meta-trained on: functions drawn from a family, some at a time.

quadratics     |W theta - y|^2 in ten dimensions, W and y standard normal: the paper's first family
a task         the loss of its model on minibatches of its training split, from another initialisation each time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from neuropt.tasks import batch_order, build_model, initial_weights
from neuropt.tasks.task import Split, Task

DIMENSIONS = 10


@dataclass(frozen=True, slots=True)
class Optimizees:
    """Functions to be minimised at the same time.

    Args:
        start: where each begins, shape (count, n).
        losses: (theta of shape (count, n), step) -> losses of shape (count,).
    """

    start: Tensor
    losses: Callable[[Tensor, int], Tensor]


class Family(Protocol):
    """Where optimizees come from."""

    def draw(self, seed: int, steps: int) -> Optimizees:
        """Return what a trajectory of so many steps minimises, a function of the seed; its losses exist at steps 0 .. `steps`."""
        ...


@dataclass(frozen=True, slots=True)
class Quadratics:
    """Draw 10-dimensional quadratics: |W theta - y|^2, with W, y and the first theta standard normal.

    Args:
        count: how many at a time.

    Example:
        >>> Quadratics().draw(seed=0, steps=100).start.shape
        torch.Size([64, 10])

    Source: Andrychowicz et al. 2016, section 3.1.
    """

    count: int = 64

    def draw(self, seed: int, steps: int) -> Optimizees:
        """Return fresh quadratics; the steps do not matter to them."""
        count, generator = self.count, torch.Generator().manual_seed(seed)
        w = torch.randn(count, DIMENSIONS, DIMENSIONS, generator=generator)
        y, start = torch.randn(2, count, DIMENSIONS, generator=generator)

        def losses(theta: Tensor, step: int) -> Tensor:
            residual: Tensor = torch.einsum("kij,kj->ki", w, theta) - y
            return residual.square().sum(1)

        return Optimizees(start, losses)


@dataclass(frozen=True)
class TaskLosses:
    """Draw a training of a task: initial weights and an order of batches, from the training split alone.

    Args:
        task: model and batch size.
        train: its training split.
    """

    task: Task
    train: Split

    @cached_property
    def model(self) -> nn.Module:
        """What the weights are put into."""
        return build_model(self.task, seed=0).train()

    def draw(self, seed: int, steps: int) -> Optimizees:
        """Return one training."""
        order = batch_order(len(self.train), self.task.batch_size, steps + 1, seed)

        def losses(theta: Tensor, step: int) -> Tensor:
            return self._loss(theta[0], order[step]).unsqueeze(0)

        return Optimizees(initial_weights(self.task, seed).unsqueeze(0), losses)

    def _loss(self, row: Tensor, batch: Tensor) -> Tensor:
        named = dict(self.model.named_parameters())
        parts = row.split([w.numel() for w in named.values()])
        weights = {name: x.reshape(w.shape) for (name, w), x in zip(named.items(), parts, strict=True)}
        logits: Tensor = functional_call(self.model, weights, (self.train.inputs[batch],))
        return self.task.loss(logits, self.train.targets[batch])
