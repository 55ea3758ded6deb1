"""The nodes of tree search, in flat arrays: for each node and token how often it was tried, what that earned, and where it leads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Table = NDArray[np.float64]


class Tree:
    """Beginnings of strings; node 0 is the empty one.

    Args:
        widest: largest number of choices at a position.
        max_nodes: the tree keeps its shape once it has so many.
    """

    def __init__(self, widest: int, max_nodes: int) -> None:
        self._max_nodes, self._nodes = max_nodes, 1
        self._tried: Table = np.zeros((1, widest))
        self._earned: Table = np.zeros((1, widest))
        self._after = np.zeros((1, widest), dtype=np.int64)  # 0 where no node is: nothing leads to the root

    def __len__(self) -> int:
        return self._nodes

    def choose(self, node: int, allowed: NDArray[np.bool_], draws: Table, exploration: float) -> int:
        """Return the allowed token with the largest upper confidence bound; `draws` in [0, 1) decide between equal ones."""
        tried, earned = self._tried[node, : len(allowed)], self._earned[node, : len(allowed)]
        new = allowed & (tried == 0)
        if new.any():
            return int(np.where(new, draws, -1.0).argmax())
        tries = np.where(allowed, tried, 1.0)  # a forbidden token was never tried; it loses below
        bound = earned / tries + exploration * np.sqrt(math.log(tried.sum()) / tries)
        return int(np.where(allowed, bound + 1e-9 * draws, -1.0).argmax())

    def after(self, node: int, token: int) -> int:
        """Return the node that a token leads to, or -1."""
        return int(self._after[node, token]) or -1

    def count(self, tokens: Sequence[int] | NDArray[np.int64]) -> int:
        """Count one more try along a string, add the first beginning that is new, and return how many tokens were counted."""
        node = 0
        for depth, token in enumerate(tokens, 1):
            self._tried[node, token] += 1
            before, node = node, int(self._after[node, token])
            if node == 0 or depth == len(tokens):
                if depth < len(tokens):
                    self._add(before, int(token))
                return depth
        return len(tokens)

    def earn(self, tokens: Sequence[int], depth: int, earned: float | None) -> None:
        """Credit the first `depth` tokens of a string with what it earned; None takes its try back."""
        node = 0
        for token in tokens[:depth]:
            if earned is None:
                self._tried[node, token] -= 1
            else:
                self._earned[node, token] += earned
            node = int(self._after[node, token])

    def state_dict(self) -> dict[str, Any]:
        """Copy the nodes as tensors."""
        used = slice(self._nodes)
        return {
            "tried": torch.from_numpy(self._tried[used].copy()),
            "earned": torch.from_numpy(self._earned[used].copy()),
            "after": torch.from_numpy(self._after[used].copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the nodes by a copy made by `state_dict`."""
        self._tried, self._earned = state["tried"].numpy().copy(), state["earned"].numpy().copy()
        self._after = state["after"].numpy().copy()
        self._nodes = len(self._after)

    def _add(self, node: int, token: int) -> None:
        if self._nodes == self._max_nodes:
            return
        if self._nodes == len(self._after):  # full: double
            self._tried = np.concatenate([self._tried, np.zeros_like(self._tried)])
            self._earned = np.concatenate([self._earned, np.zeros_like(self._earned)])
            self._after = np.concatenate([self._after, np.zeros_like(self._after)])
        self._after[node, token] = self._nodes
        self._nodes += 1


class Ranks:
    """The newest rewards, against which a reward is ranked."""

    def __init__(self, size: int) -> None:
        self._rewards: deque[float] = deque(maxlen=size)

    def of(self, reward: float) -> float:
        """Return the share of rewards below this one, equal ones counting half: 0 to 1; 1/2 if there are none."""
        if not self._rewards:
            return 0.5
        known = np.array(self._rewards)
        return float((known < reward).mean() + 0.5 * (known == reward).mean())

    def add(self, reward: float) -> None:
        """Remember a reward; the oldest is forgotten."""
        self._rewards.append(float(reward))

    def state_dict(self) -> dict[str, Any]:
        """Copy the rewards, the oldest first."""
        return {"rewards": list(self._rewards)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the rewards by a copy made by `state_dict`."""
        self._rewards = deque(state["rewards"], self._rewards.maxlen)
