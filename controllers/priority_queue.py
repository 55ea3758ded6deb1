"""The best strings so far, which priority-queue training lets the policy repeat.

Source: Abolafia, Norouzi, Shen, Zhao, Le, "Neural program synthesis with priority queue training", arXiv:1801.03526, 2018.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from controllers.controller import Outcome


class PriorityQueue:
    """At most `size` different strings with the largest rewards told; of equal ones the earlier stays.

    Example:
        >>> queue = PriorityQueue(size=1)
        >>> queue.add([Outcome(0, (3, 1), "trained", 0.5), Outcome(1, (2, 0), "trained", 0.9)])
        >>> queue.strings().tolist()
        [[2, 0]]
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rewards: dict[tuple[int, ...], float] = {}  # best first

    def __len__(self) -> int:
        return len(self._rewards)

    @property
    def mean_reward(self) -> float:
        """Mean of the rewards in it; it must not be empty."""
        return sum(self._rewards.values()) / len(self._rewards)

    def add(self, outcomes: list[Outcome]) -> None:
        """Take in trained rules that are better than the worst one here."""
        for outcome in outcomes if self._size else []:
            if outcome.status == "trained" and outcome.reward is not None:
                tokens, reward = tuple(int(token) for token in outcome.tokens), float(outcome.reward)
                self._rewards[tokens] = max(reward, self._rewards.get(tokens, reward))
                best_first = sorted(self._rewards.items(), key=lambda item: -item[1])  # stable: the earlier stays
                self._rewards = dict(best_first[: self._size])

    def strings(self) -> NDArray[np.int64]:
        """Return them, best first: (at most size, length)."""
        return np.array(list(self._rewards), dtype=np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Copy it as plain values."""
        return {"tokens": [list(tokens) for tokens in self._rewards], "rewards": list(self._rewards.values())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace it by a copy made by `state_dict`."""
        self._rewards = dict(zip(map(tuple, state["tokens"]), state["rewards"], strict=True))
