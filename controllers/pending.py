"""Proposals asked and not yet told: what each was, and a number kept with it, such as how probable it was when it was asked."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from controllers.controller import Outcome, Proposal


class Pending:
    """A bounded table of outstanding proposals by id.

    Results may be lost (a worker died, a search was cut short), so only the newest `limit` proposals are kept. An outcome of a forgotten
    one is refused like any unknown id: without the number kept with it, nothing can be learnt from it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._next_id = 0
        self._forgotten = 0
        self._waiting: dict[int, tuple[tuple[int, ...], float]] = {}  # in order of id

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, tokens: NDArray[np.int64], kept: list[float]) -> list[Proposal]:
        """Give each row of tokens (n, length) the next id, and remember it with its number."""
        proposals = [Proposal(self._next_id + i, tuple(row)) for i, row in enumerate(tokens.tolist())]
        for proposal, number in zip(proposals, kept, strict=True):
            self._waiting[proposal.id] = (proposal.tokens, number)
        self._next_id += len(proposals)
        while len(self._waiting) > self._limit:
            del self._waiting[next(iter(self._waiting))]
            self._forgotten += 1
        return proposals

    def take(self, outcomes: list[Outcome]) -> list[float]:
        """Remove the proposals of these outcomes, and return the numbers kept with them.

        Raises:
            ValueError: for an id that is unknown or given twice, or tokens that are not the proposal's; then nothing is removed.
        """
        told: set[int] = set()
        for outcome in outcomes:
            if outcome.id not in self._waiting or outcome.id in told:
                raise ValueError(self._explain(outcome.id, outcome.id in told))
            if outcome.tokens != self._waiting[outcome.id][0]:
                asked = self._waiting[outcome.id][0]
                raise ValueError(
                    f"Outcome {outcome.id} has tokens {outcome.tokens}, but proposal {outcome.id} was {asked}."
                )
            told.add(outcome.id)
        return [self._waiting.pop(outcome.id)[1] for outcome in outcomes]

    def state_dict(self) -> dict[str, object]:
        """Copy the table as tensors and whole numbers."""
        return {
            "next_id": self._next_id,
            "forgotten": self._forgotten,
            "ids": torch.tensor(list(self._waiting), dtype=torch.int64),
            "tokens": torch.tensor([tokens for tokens, _ in self._waiting.values()], dtype=torch.int64),
            "kept": torch.tensor([number for _, number in self._waiting.values()], dtype=torch.float64),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Replace the table by a copy made by `state_dict`."""
        saved = cast("dict[str, Any]", state)
        self._next_id, self._forgotten = saved["next_id"], saved["forgotten"]
        rows = zip(saved["ids"].tolist(), saved["tokens"].tolist(), saved["kept"].tolist(), strict=True)
        self._waiting = {id: (tuple(tokens), number) for id, tokens, number in rows}

    def _explain(self, id: int, twice: bool) -> str:
        if not 0 <= id < self._next_id:
            return f"Outcome {id} is unknown: only ids 0 to {self._next_id - 1} were asked, and only what was asked here can be told."
        if twice or not self._forgotten:
            return f"Outcome {id} is told twice: each proposal has one outcome."
        return f"Outcome {id} was told before, or forgotten: only the newest {self._limit} proposals may wait for their outcome."
