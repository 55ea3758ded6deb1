"""What a controller may begin from: strings somebody already knows, such as Adam's, and what an earlier search found out about its own.

    Known((14, 0, 0, 0, 4))               # no reward yet: proposed before anything else, then told and learnt from like any proposal
    Known((6, 0, 2, 0, 2), reward=0.93)   # learnt from at once, as if it had been told, and not proposed
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.controller import TokenSpace


@dataclass(frozen=True, slots=True)
class Known:
    """A string that is known before the search, with its reward if it has one.

    Raises:
        ValueError: for a reward that is NaN or infinite.

    Example:
        >>> Known((3, 1, 0, 0, 2), reward=0.9).reward
        0.9
    """

    tokens: tuple[int, ...]
    reward: float | None = None

    def __post_init__(self) -> None:
        if self.reward is not None and not math.isfinite(self.reward):
            raise ValueError(f"Known(reward={self.reward}) of {list(self.tokens)}: must be a finite number, or None.")


def check_known(known: Sequence[Known], space: TokenSpace) -> None:
    """Refuse strings that the space does not allow.

    Raises:
        ValueError: naming the string, and the position at fault.
    """
    choices = space.choices
    for tokens in (k.tokens for k in known):
        if len(tokens) != len(choices):
            raise ValueError(f"A known string must have {len(choices)} tokens, but got {len(tokens)}: {list(tokens)}.")
        row = np.array([tokens], dtype=np.int64)
        for k, token in enumerate(tokens):
            if not 0 <= token < choices[k] or not space.masks(row[:, :k])[0, token]:
                raise ValueError(f"The space does not allow token {token} at position {k} of the known {list(tokens)}.")
