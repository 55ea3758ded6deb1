"""Strings drawn and changed at random, so that the masks of the space hold at every position.

One function does both: `redraw` walks along the strings and draws a new token where it is told to, or where the masks no longer allow the
old one. With every position marked that is a random string; with one, a mutation; after an exchange of tokens, a crossover.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from controllers.checks import check_masks
from controllers.controller import TokenSpace


def random_strings(space: TokenSpace, n: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Draw strings whose tokens are equally probable among those allowed at their position: (n, length)."""
    length = len(space.choices)
    return redraw(space, np.full((n, length), -1, dtype=np.int64), np.ones((n, length), dtype=np.bool_), generator)


def redraw(
    space: TokenSpace, tokens: NDArray[np.int64], marked: NDArray[np.bool_], generator: torch.Generator
) -> NDArray[np.int64]:
    """Change the marked tokens, each to another allowed one; keep the others, unless the change forbids them.

    A marked token stays where the masks allow nothing else.

    Args:
        space: gives the masks.
        tokens: (n, length).
        marked: (n, length).
        generator: draws.

    Raises:
        ValueError: if the space allows no token after some prefix.

    Example:
        >>> string, marked = np.array([[3, 1, 0, 0, 2]]), np.array([[False, True, False, False, False]])
        >>> (redraw(space, string, marked, torch.Generator()) != string).tolist()
        [[False, True, False, False, False]]
    """
    n, choices = len(tokens), space.choices
    changed, rows = tokens.copy(), np.arange(n)
    # the largest of equally distributed draws, one for each allowed token
    draws = torch.rand(n, len(choices), max(choices), generator=generator).numpy()
    for k, count in enumerate(choices):
        allowed = space.masks(changed[:, :k])
        check_masks(allowed, changed[:, :k])
        old = tokens[:, k]
        known = old >= 0
        score = np.where(allowed, draws[:, k, :count], -2.0)
        # where an old token is allowed it beats all draws (2), or in a marked position loses to all but what is forbidden (-1)
        stays = known & allowed[rows, old]
        score[rows[stays], old[stays]] = np.where(marked[stays, k], -1.0, 2.0)
        changed[:, k] = score.argmax(axis=1)
    return changed


def crossed(
    tokens: NDArray[np.int64], others: NDArray[np.int64], share: float, generator: torch.Generator
) -> NDArray[np.int64]:
    """Give a share of strings about half of another's tokens; masks may forbid the result, which `redraw` mends.

    Args:
        tokens, others: (n, length).
        share: probability of each string to be crossed.
        generator: draws.
    """
    chosen = torch.rand(len(tokens), generator=generator) < share
    taken = torch.rand(tokens.shape, generator=generator) < 0.5
    return np.where((chosen[:, None] & taken).numpy(), others, tokens)


def one_of_each(tokens: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.bool_]:
    """Mark one position of each string, all equally probable: (n, length)."""
    n, length = tokens.shape
    marked = np.zeros((n, length), dtype=np.bool_)
    marked[np.arange(n), torch.randint(length, (n,), generator=generator).numpy()] = True
    return marked
