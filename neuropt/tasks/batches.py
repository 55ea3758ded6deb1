"""The order in which a child sees its training examples: epochs of seeded permutations."""

from __future__ import annotations

import torch
from torch import Tensor


def batch_order(n_train: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return the example numbers of every step.

    Each epoch is a fresh permutation cut into whole batches; the incomplete last batch of an epoch is dropped, so every step has the
    same size and no example comes twice in an epoch. Children with one seed see the same batches whatever their rule; two seeds differ.
    The order comes from a generator of its own: torch's global one is neither read nor moved.

    Args:
        n_train: number of training examples.
        batch_size: examples a step, at most n_train.
        steps: number of steps.
        seed: any integer that `torch.Generator.manual_seed` takes.

    Returns:
        int64, shape (steps, batch_size).

    Raises:
        ValueError: when batch_size is not between 1 and n_train, or steps is negative.

    Example:
        >>> batch_order(n_train=5, batch_size=2, steps=3, seed=0).shape
        torch.Size([3, 2])
    """
    if not 1 <= batch_size <= n_train:
        raise ValueError(
            f"batch_order(batch_size=...) must be between 1 and n_train = {n_train}, but got {batch_size}."
        )
    if steps < 0:
        raise ValueError(f"batch_order(steps=...) must not be negative, but got {steps}.")
    generator = torch.Generator().manual_seed(seed)
    batches = n_train // batch_size
    epochs = [
        torch.randperm(n_train, generator=generator)[: batches * batch_size].view(batches, batch_size)
        for _ in range(-(-steps // batches))
    ]
    return torch.cat(epochs)[:steps] if epochs else torch.empty(0, batch_size, dtype=torch.int64)
