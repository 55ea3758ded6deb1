"""A task of one's own: two spirals, and a small network that tells them apart.

neuropt search --task examples/own_model_task.py:spirals
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from neuropt import Split, Task, TaskData


def load(data_dir: Path | None) -> TaskData:
    """Return three disjoint splits; float32 inputs, whole numbers as classes."""
    random = torch.Generator().manual_seed(0)
    turn = 0.3 + 2.7 * torch.rand(1_000, generator=random)  # how far along the spiral
    label = torch.randint(2, (1_000,), generator=random)
    angle = turn * torch.pi + label * torch.pi  # the second spiral is the first one, turned by half
    points = turn[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    points += 0.1 * torch.randn(1_000, 2, generator=random)
    parts = (slice(0, 600), slice(600, 800), slice(800, 1_000))  # train, validation, test
    return TaskData.of(*(Split(points[part], label[part]) for part in parts))


class Network(nn.Module):
    """Any torch module will do; it is built under a seed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 24), nn.Linear(24, 24), nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the two classes."""
        x = torch.tanh(self.first(x))
        return self.last(x + torch.tanh(self.second(x)))


spirals = Task(
    name="spirals",
    description="two spirals of 1,000 points, 2-24-24-2 tanh network with a skip",
    family="synthetic",
    load=load,
    model=Network,
    batch_size=50,
    steps=100,
    metric="accuracy",
)
