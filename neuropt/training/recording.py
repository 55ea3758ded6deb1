"""Record the gradients that a task really has; rules are screened and scaled on them before any training."""

from __future__ import annotations

import numpy as np
import torch

from neuropt.tasks import batch_order, build_model
from neuropt.tasks.task import Task, TaskData
from neuropt.training.threads import one_thread
from search_space import Trajectory

STEPS = 32
ELEMENTS = 256
SEED = 1_000_003
"""Not a seed that a search trains on."""


def record_trajectory(task: Task, data: TaskData, seed: int = SEED) -> Trajectory:
    """Train the task's model with Adam (lr 1e-3) for a few steps and return some elements' gradients and parameters.

    Elements are drawn evenly from all parameters; those whose gradient stays 0, such as the weights of constant pixels, stay in.
    """
    model = build_model(task, seed).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = batch_order(len(data.train), task.batch_size, STEPS, seed)
    count = sum(p.numel() for p in model.parameters())
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(count, generator=generator)[:ELEMENTS].sort().values
    gradients, weights = [], []
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for batch in order:
            optimizer.zero_grad()
            torch.autograd.backward(task.loss(model(data.train.inputs[batch]), data.train.targets[batch]))
            weights.append(torch.cat([p.detach().flatten() for p in model.parameters()])[chosen].double().numpy())
            gradients.append(torch.cat([_gradient(p) for p in model.parameters()])[chosen].double().numpy())
            optimizer.step()
    return Trajectory(np.stack(gradients), np.stack(weights))


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter).flatten() if parameter.grad is None else parameter.grad.flatten()
