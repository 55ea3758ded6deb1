"""Ladders: the learning rates that may be tried, numbered, so that a grid can be extended beyond its edge at its own steps.

centred     ..., 0.001, 0.003, 0.01, 0.03, ...; rung 0 is the one next to 10^-2.5 / scale
scaled      10^(i/2 - 5/2) / scale: the grid of a search, which ends on no round number
paper       10^(i - 2): that of Bello et al., the same for every rule
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neuropt.config import EvaluationGrid

MIDDLE = -2.5
"""Decades: a weight that changes by 10^-2.5 a step, on average, is the middle of the scaled grid."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The learning rates of one entry.

    Args:
        grid: how they are spaced.
        scale: the entry's mean |u| on the task, from screening.
    """

    grid: EvaluationGrid
    scale: float

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"scale must be positive and finite, but got {self.scale}")

    def rate(self, rung: int) -> float:
        """Return a learning rate; rung 0 is the centre.

        >>> [Ladder("centred", scale=1.0).rate(i) for i in (-2, -1, 0, 1)]
        [0.0003, 0.001, 0.003, 0.01]
        >>> [Ladder("paper", scale=1.0).rate(i) for i in (-1, 0, 1)]
        [0.001, 0.01, 0.1]
        """
        match self.grid:
            case "centred":
                decade, three = divmod(self._centre() + rung, 2)
                return float(f"{3 if three else 1}e{decade}")
            case "scaled":
                return float(10.0 ** (-4 + (rung + 3) / 2)) / self.scale
            case "paper":
                return float(10.0 ** (rung - 2))

    def _centre(self) -> int:
        """Return the half decade next to the middle: 2 k for 10^k, 2 k + 1 for 3 x 10^k."""
        wanted = MIDDLE - math.log10(self.scale)
        near = math.floor(2 * wanted)
        return min((near, near + 1), key=lambda i: abs(i // 2 + (i % 2) * math.log10(3) - wanted))
