"""Matrix factorisation: fill in a matrix of rank 4 of which half of the entries are known, with noise.

    loss = mean over known (i, j) of (u_i . v_j - M_ij)^2,    M = A B^T / 2 + noise,  A (48, 4), B (32, 4)

The loss has no convex part but u and v alone, saddles (u = v = 0 among them), and a valley: u -> u R, v -> v R^-T leaves it as it is.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neuropt.tasks.metrics import squared_error
from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import Split, Task, TaskData
from search_space import draws

ROWS, COLUMNS, RANK = 48, 32, 4
SIZES = (768, 384, 384)
NOISE = 0.1
GRID = 1024.0
SEED = 48_32_4


def load_entries(data_dir: Path | None = None) -> TaskData:
    """Return entries of the matrix: inputs are places (i, j), int64; targets M_ij of shape (n, 1).

    Example:
        >>> load_entries().train.inputs.shape
        torch.Size([768, 2])
    """
    a = draws.normal(ROWS * RANK, SEED, 0, 0, 0).reshape(ROWS, RANK)
    b = draws.normal(COLUMNS * RANK, SEED, 1, 0, 0).reshape(COLUMNS, RANK)
    noise = draws.normal(ROWS * COLUMNS, SEED, 2, 0, 0).reshape(ROWS, COLUMNS)
    # a product by hand: the order of the sums in a library's depends on the machine
    matrix = sum(np.outer(a[:, k], b[:, k]) for k in range(RANK)) / np.sqrt(RANK) + NOISE * noise
    values = torch.from_numpy((np.rint(matrix * GRID) / GRID).astype(np.float32)).reshape(-1, 1)
    places = torch.cartesian_prod(torch.arange(ROWS), torch.arange(COLUMNS))
    return TaskData.of(*(Split(places[part], values[part]) for part in split_indices(SIZES)))


class Factors(nn.Module):
    """u_i . v_j for places (i, j)."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.empty(ROWS, RANK).uniform_(-0.5, 0.5))
        self.v = nn.Parameter(torch.empty(COLUMNS, RANK).uniform_(-0.5, 0.5))

    def forward(self, places: Tensor) -> Tensor:
        """Return one number a place, (n, 1)."""
        i, j = places.unbind(-1)
        return (self.u[i] * self.v[j]).sum(-1, keepdim=True)


MATRIX_FACTORISATION = Task(
    name="matrix-factorisation",
    description="a noisy 48x32 matrix of rank 4 from half of its entries",
    family="synthetic",
    load=load_entries,
    model=Factors,
    batch_size=64,
    steps=300,
    halving=((50, 4), (150, 2)),
    metric="loss",
    loss=squared_error,
    target=0.02,  # sgd 0.0189, momentum 0.0298, rmsprop 0.0337, adam 0.094
)
