"""Learning-rate grids: the paper's, and one that is scaled to the rule.

Rules differ in the size of their updates by many decades, so most of a fixed grid is wasted on most rules. `scaled` divides one grid by
the rule's own mean |u| on a recorded trajectory of the task.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

Grid = Literal["scaled", "paper"]
GRIDS: tuple[Grid, ...] = get_args(Grid)

PAPER = tuple(10.0**i for i in range(-5, 2))
"""10^-5 .. 10^1 (Bello et al. 2017)."""
SCALED = tuple(10.0 ** (-4 + i / 2) for i in range(7))
"""10^-4 .. 10^-1 in half decades: the mean size of one step's change of a weight."""


def learning_rates(grid: Grid, scale: float) -> tuple[float, ...]:
    """Return the seven learning rates at which a rule is trained.

    lr_i = 10^(i - 5)                              paper
    lr_i = 10^(i/2 - 4) / scale,  i = 0 .. 6       scaled

    Args:
        grid: "scaled" or "paper".
        scale: the rule's mean |u| on the task, from screening.

    Raises:
        ValueError: an unknown grid, or a scale that is not positive and finite.

    >>> learning_rates("paper", scale=0.01)[0]
    1e-05
    """
    if grid not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}, but got {grid!r}")
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, but got {scale}")
    return PAPER if grid == "paper" else tuple(lr / scale for lr in SCALED)
