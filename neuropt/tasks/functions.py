"""Functions to be minimised: tasks whose parameters are the point itself, and whose loss is the function.

    ill-conditioned quadratic   f(w) = 1/2 (H (w - 1))^T D (H (w - 1)),   D = diag(1 .. 1e-4), H = Hadamard's matrix / sqrt(64): all
                                directions mixed; the minimum is at 1, so that decaying w to 0 does not find it
    noisy quadratic             f_i(w) = f(w - x_i) with D = diag(1 .. 1e-2): each example moves the minimum by noise x_i of mean 0
    Rosenbrock                  f(w) = mean over pairs of 100 (b - a^2)^2 + (1 - a)^2, started around (-1.2, 1)

The metric is the loss, and the minimum is 0: the noisy quadratic is measured at x = 0. A function has no examples to hold out, so its three
splits are markers of one row each, which the model does not read.
Sources: Rosenbrock 1960; Zhang et al., "Which Algorithmic Choices Matter at Which Batch Sizes?", 2019 (noisy quadratics).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neuropt.tasks.metrics import output_mean
from neuropt.tasks.task import Split, Task, TaskData
from search_space import draws

DIMENSIONS = 64
"""A power of two: the rows of Hadamard's matrix over sqrt(64) are exact in any precision."""
MINIMUM = 1.0
NOISY_EXAMPLES = 1_024
NOISE = 0.5
GRID = 1024.0
SEED = 64_2_100
ROSENBROCK_PAIRS = 8
ROSENBROCK_START = (-1.2, 1.0)
SPREAD = 0.1
"""Each seed starts elsewhere, at most so far from the classical start."""


def load_marker(data_dir: Path | None = None) -> TaskData:
    """Return three splits of one row, 0, which nothing reads; its target is the number of the split, so that they are not the same.

    Example:
        >>> len(load_marker().train)
        1
    """
    return TaskData.of(*(_marked(torch.zeros(1, DIMENSIONS), split) for split in range(3)))


def load_noise(data_dir: Path | None = None) -> TaskData:
    """Return noise x_i of shape (1024, 64) and mean 0 to train on, and x = 0 to measure the quadratic itself.

    Example:
        >>> load_noise().train.inputs.mean(0).abs().max().item()
        0.0
    """
    half = draws.normal(NOISY_EXAMPLES // 2 * DIMENSIONS, SEED, 0, 0, 0).reshape(-1, DIMENSIONS)
    rounded = torch.from_numpy((np.rint(NOISE * half * GRID) / GRID).astype(np.float32))
    noise = torch.cat([rounded, -rounded])  # antithetic, so that the mean is exactly 0
    return TaskData.of(_marked(noise, 0), *(_marked(torch.zeros(1, DIMENSIONS), split) for split in (1, 2)))


def _marked(rows: Tensor, split: int) -> Split:
    return Split(rows, torch.full((len(rows),), split, dtype=torch.int64))


class Quadratic(nn.Module):
    """f(w - x) for each row x, of a convex quadratic in 64 dimensions with its minimum at 1.

    Args:
        condition: largest over smallest curvature; they are spaced evenly on a logarithmic scale.
    """

    curvatures: Tensor
    mixing: Tensor

    def __init__(self, condition: float) -> None:
        super().__init__()
        self.w = nn.Parameter(MINIMUM + torch.empty(DIMENSIONS).uniform_(-1.0, 1.0))
        self.register_buffer("curvatures", condition ** -torch.linspace(0, 1, DIMENSIONS, dtype=torch.float64).float())
        self.register_buffer("mixing", hadamard(DIMENSIONS))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(w - x), one number a row."""
        mixed = (self.w - x - MINIMUM) @ self.mixing
        found: Tensor = 0.5 * (mixed.square() * self.curvatures).sum(-1)
        return found


class Rosenbrock(nn.Module):
    """Rosenbrock's valley, mean over pairs (a, b) of 100 (b - a^2)^2 + (1 - a)^2."""

    def __init__(self) -> None:
        super().__init__()
        start = torch.tensor(ROSENBROCK_START).repeat(ROSENBROCK_PAIRS, 1)  # (pairs, 2)
        self.w = nn.Parameter(start + torch.empty_like(start).uniform_(-SPREAD, SPREAD))

    def forward(self, x: Tensor) -> Tensor:
        """Return f(w), once for each row of x."""
        a, b = self.w.unbind(-1)
        valley = 100 * (b - a**2) ** 2 + (1 - a) ** 2
        return valley.mean().expand(len(x))


def hadamard(size: int) -> Tensor:
    """Return Hadamard's orthogonal matrix by Sylvester's construction, symmetric, of a size that is a power of two.

    >>> hadamard(4) * 2
    tensor([[ 1.,  1.,  1.,  1.],
            [ 1., -1.,  1., -1.],
            [ 1.,  1., -1., -1.],
            [ 1., -1., -1.,  1.]])
    """
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


def ill_conditioned() -> Quadratic:
    """Build the quadratic of condition 10,000."""
    return Quadratic(10_000.0)


def mildly_conditioned() -> Quadratic:
    """Build the quadratic of condition 100, to which the noise belongs."""
    return Quadratic(100.0)


QUADRATIC_ILL = Task(
    name="quadratic-ill",
    description="quadratic of condition 10,000 in 64 mixed dimensions, without noise",
    family="synthetic",
    load=load_marker,
    model=ill_conditioned,
    batch_size=1,
    steps=300,
    halving=((50, 4), (150, 2)),
    metric="loss",
    loss=output_mean,
    target=1e-4,  # momentum 7.1e-5, adam 1.1e-4, sgd 1.6e-3
)

QUADRATIC_NOISY = Task(
    name="quadratic-noisy",
    description="quadratic of condition 100 in 64 mixed dimensions, minimum moved by noise of each example",
    family="synthetic",
    load=load_noise,
    model=mildly_conditioned,
    batch_size=8,
    steps=300,
    halving=((50, 4), (150, 2)),
    metric="loss",
    loss=output_mean,
    target=0.015,  # rmsprop 0.0137, sgd 0.0163, adam 0.0168
)

ROSENBROCK = Task(
    name="rosenbrock",
    description="Rosenbrock's valley, eight pairs from around (-1.2, 1)",
    family="synthetic",
    load=load_marker,
    model=Rosenbrock,
    batch_size=1,
    steps=500,
    halving=((83, 4), (250, 2)),
    loss_bound=1e4,
    metric="loss",
    loss=output_mean,
    target=2e-4,  # adam 1.7e-4, momentum 1.9e-3, sgd 0.20
)
