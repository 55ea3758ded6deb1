"""From outcomes to batches to learn from: what each outcome earns, and when an update's worth of them is complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from controllers.controller import Outcome, Status
from controllers.settings import Duplicates


@dataclass(frozen=True, slots=True)
class Batch:
    """Strings to learn from, in the order told."""

    tokens: NDArray[np.int64]  # (batch, length)
    log_pi_asked: Tensor  # (batch,), log-probabilities at asking
    rewards: Tensor  # (batch,), float64
    duplicate_share: float
    invalid_share: float


class BatchBuffer:
    """Collects outcomes until an update's worth is there.

    A trained rule earns its reward. A rejected or failed one earns the floor. A duplicate earns the floor, is left out, or is paid the
    reward it comes with (the floor if it comes with none).

    The floor is the worst reward: `worst_reward`, or the worst reward told so far where that is lower, so that no floor is ever better
    than a trained rule, in whichever unit rewards are. For rank advantages only that order matters. For z-scores and baselines the
    distance matters too: a floor far below what rules usually earn makes good rules look alike.
    """

    def __init__(self, size: int, duplicates: Duplicates, worst_reward: float) -> None:
        self._size, self._duplicates = size, duplicates
        self._floor = worst_reward
        self._told: list[Status] = []  # since the last batch, those left out included
        self._tokens: list[tuple[int, ...]] = []
        self._log_pi_asked: list[float] = []
        self._rewards: list[float | None] = []  # None earns the floor, which is known when the batch is complete

    def add(self, outcomes: Iterable[Outcome], log_pi_asked: Iterable[float]) -> list[Batch]:
        """Collect outcomes; return the batches that they complete."""
        batches = []
        for outcome, log_pi in zip(outcomes, log_pi_asked, strict=True):
            self._told.append(outcome.status)
            if outcome.status == "duplicate" and self._duplicates == "skip":
                continue
            self._tokens.append(
                tuple(int(token) for token in outcome.tokens)
            )  # int, float: no numpy scalars in a saved state
            self._log_pi_asked.append(log_pi)
            self._rewards.append(self._earned(outcome))
            if len(self._rewards) == self._size:
                batches.append(self._complete())
        return batches

    def state_dict(self) -> dict[str, object]:
        """Copy what was collected as plain values."""
        return {
            "floor": self._floor,
            "told": list(self._told),
            "tokens": [list(tokens) for tokens in self._tokens],
            "log_pi_asked": list(self._log_pi_asked),
            "rewards": list(self._rewards),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Replace what was collected by a copy made by `state_dict`."""
        saved = cast("dict[str, Any]", state)
        self._floor, self._told = saved["floor"], list(saved["told"])
        self._tokens = [tuple(tokens) for tokens in saved["tokens"]]
        self._log_pi_asked, self._rewards = list(saved["log_pi_asked"]), list(saved["rewards"])

    def _earned(self, outcome: Outcome) -> float | None:
        reward = None if outcome.reward is None else float(outcome.reward)
        if outcome.status == "trained":
            assert reward is not None, "Outcome refuses a trained rule without a reward"
            self._floor = min(self._floor, reward)
            return reward
        return reward if outcome.status == "duplicate" and self._duplicates == "paid" else None

    def _complete(self) -> Batch:
        told = len(self._told)
        batch = Batch(
            tokens=np.array(self._tokens, dtype=np.int64),
            log_pi_asked=torch.tensor(self._log_pi_asked),
            rewards=torch.tensor([self._floor if r is None else r for r in self._rewards], dtype=torch.float64),
            duplicate_share=self._told.count("duplicate") / told,
            invalid_share=(self._told.count("rejected") + self._told.count("failed")) / told,
        )
        self._told, self._tokens, self._log_pi_asked, self._rewards = [], [], [], []
        return batch
