"""From a task and a seed to a model: deterministic, and without touching anybody else's random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from neuropt.tasks.task import MLP, Task


def build_model(task: Task, seed: int) -> nn.Module:
    """Build the task's model with torch's default initialisation, a function of (task, seed) alone.

    The global generator is put back afterwards, and generators of accelerators are never touched.

    Example:
        >>> from neuropt.tasks import get_task
        >>> build_model(get_task("digits-mlp"), seed=0)
        Sequential(
          (0): Linear(in_features=64, out_features=32, bias=True)
          (1): ReLU()
          (2): Linear(in_features=32, out_features=10, bias=True)
        )
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed every accelerator, which fork_rng(devices=[]) does not put back
        torch.default_generator.manual_seed(seed)
        return task.model.build() if isinstance(task.model, MLP) else task.model()


def initial_weights(task: Task, seed: int) -> Tensor:
    """Return the parameters of `build_model(task, seed)` as one float32 row of shape (P,), in the order of `parameters()`.

    Example:
        >>> from neuropt.tasks import get_task
        >>> initial_weights(get_task("digits-mlp"), seed=0).shape
        torch.Size([2410])
    """
    return parameters_to_vector(build_model(task, seed).parameters()).detach().float()
