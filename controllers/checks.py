"""Checks that several controllers share; each raises a ValueError that names what is wrong, what it got and what would be valid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from controllers.controller import Known, TokenSpace


def require(settings: object, field: str, valid: bool, expected: str) -> None:
    """Refuse a value of a settings field unless it is valid."""
    if not valid:
        raise ValueError(f"{type(settings).__name__}({field}={getattr(settings, field)!r}): must be {expected}.")


def require_one_of(settings: object, field: str, options: Sequence[str]) -> None:
    """Refuse a value of a settings field unless it is one of the options."""
    require(settings, field, getattr(settings, field) in options, "one of " + ", ".join(options))


def check_count(n: int) -> None:
    """Refuse a negative number of proposals."""
    if n < 0:
        raise ValueError(f"ask(n={n}): must be 0 or more.")


def check_known(known: Sequence[Known], space: TokenSpace) -> None:
    """Refuse known strings that the space does not allow."""
    for one in known:
        check_allowed(one.tokens, space, "A known string")


def check_allowed(tokens: Sequence[int], space: TokenSpace, what: str) -> None:
    """Refuse a string that the space does not allow."""
    choices = space.choices
    if len(tokens) != len(choices):
        raise ValueError(f"{what} must have {len(choices)} tokens, but {list(tokens)} has {len(tokens)}.")
    row = np.array([tokens], dtype=np.int64)
    for k, token in enumerate(tokens):
        if not 0 <= token < choices[k] or not space.masks(row[:, :k])[0, token]:
            raise ValueError(f"{what}: the space does not allow token {token} at position {k} of {list(tokens)}.")


def check_masks(allowed: NDArray[np.bool_], prefixes: NDArray[np.int64]) -> None:
    """Refuse masks that allow nothing after some prefix: allowed (batch, choices), prefixes (batch, k)."""
    stuck = np.flatnonzero(~allowed.any(axis=1))
    if len(stuck):
        prefix = prefixes[stuck[0]].tolist()
        raise ValueError(f"The space allows no token at position {len(prefix)} after the prefix {prefix}.")


def check_origin(state: dict[str, object], expected: dict[str, object]) -> None:
    """Refuse a state saved by another algorithm, with other settings, or on another space."""
    for key, value in expected.items():
        if state.get(key) != value:
            raise ValueError(
                f"The state is of another controller: {key} is {state.get(key)!r}, but here it is {value!r}."
            )
