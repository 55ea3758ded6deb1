"""A small real token space: the paper's groups and constraints on a short vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

OPERANDS, UNARY, BINARY = 0, 1, 2
PLUS = 0
"""The binary that may not come last."""


@cache
def choices(space: SmallSpace) -> tuple[int, ...]:
    """How many tokens there are at each position; asked for at each of them, thousands of times."""
    return tuple(
        n
        for group in range(space.groups)
        for n in (space.operands + group, space.operands + group, space.unary, space.unary, space.binary)
    )


@dataclass(frozen=True)
class SmallSpace:
    """Strings of `groups` groups `op1 op2 u1 u2 b`.

    op1 != op2 within a group; no `+` as the last binary; each later group reads the result before it.
    """

    groups: int = 1
    operands: int = 5
    unary: int = 3
    binary: int = 3

    @property
    def choices(self) -> tuple[int, ...]:
        return choices(self)

    @property
    def kinds(self) -> tuple[int, ...]:
        return (OPERANDS, OPERANDS, UNARY, UNARY, BINARY) * self.groups

    def masks(self, prefixes: NDArray[np.int64]) -> NDArray[np.bool_]:
        batch, k = prefixes.shape
        group, place = divmod(k, 5)
        allowed = np.ones((batch, self.choices[k]), dtype=np.bool_)
        if place == 1:
            op1, result = prefixes[:, k - 1], self.operands + group - 1
            if group > 0:
                allowed &= (op1 == result)[:, None] | (np.arange(self.choices[k]) == result)
            allowed[np.arange(batch), op1] = False
        if place == 4 and group == self.groups - 1:
            allowed[:, PLUS] = False
        return allowed
