"""Random search: the baseline in every table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast, final

import numpy as np
import torch

from controllers.checks import check_count, check_masks, check_origin, require
from controllers.controller import Outcome, Proposal, TokenSpace
from controllers.pending import Pending


@dataclass(frozen=True, kw_only=True)
class RandomSettings:
    """The choices of random search."""

    max_outstanding: int = 10_000
    """proposals that may wait for their outcome; beyond that the oldest are forgotten"""

    def __post_init__(self) -> None:
        require(self, "max_outstanding", self.max_outstanding >= 1, "a whole number of at least 1")


@final
class RandomSearch:
    """Proposes at each position one of the allowed tokens, all equally probable, and learns nothing.

    Example:
        >>> [proposal.id for proposal in RandomSearch(space, seed=1).ask(2)]
        [0, 1]
    """

    def __init__(self, space: TokenSpace, settings: RandomSettings | None = None, *, seed: int = 0) -> None:
        self.settings = RandomSettings() if settings is None else settings
        self._space = space
        self._generator = torch.Generator().manual_seed(seed)
        self._pending = Pending(self.settings.max_outstanding)
        self._metrics: dict[str, float] = {}

    def ask(self, n: int) -> list[Proposal]:
        """Propose `n` strings."""
        check_count(n)
        choices = self._space.choices
        tokens = np.zeros((n, len(choices)), dtype=np.int64)
        draws = torch.rand(n, len(choices), max(choices), generator=self._generator).numpy()
        for k in range(len(choices)):
            allowed = self._space.masks(tokens[:, :k])
            check_masks(allowed, tokens[:, :k])
            # the largest of equally distributed draws, one for each allowed token; -1 loses to all of them
            tokens[:, k] = np.where(allowed, draws[:, k, : choices[k]], -1.0).argmax(axis=1)
        return self._pending.add(tokens, [0.0] * n)  # nothing is learnt from how probable they were

    def tell(self, outcomes: list[Outcome]) -> None:
        """Check that the outcomes are of this controller's proposals, and count them."""
        self._pending.take(outcomes)
        if outcomes:
            told = [outcome.status for outcome in outcomes]
            self._metrics = {
                "duplicate_share": told.count("duplicate") / len(told),
                "invalid_share": (told.count("rejected") + told.count("failed")) / len(told),
            }

    def metrics(self) -> dict[str, float]:
        """Report the shares of the last `tell`, which is all that an update is here."""
        return dict(self._metrics)

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future."""
        return {
            **self._origin(),
            "generator": self._generator.get_state(),
            "pending": self._pending.state_dict(),
            "metrics": dict(self._metrics),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken."""
        check_origin(state, self._origin())
        saved = cast("dict[str, Any]", state)
        self._generator.set_state(saved["generator"])
        self._pending.load_state_dict(saved["pending"])
        self._metrics = dict(saved["metrics"])

    def _origin(self) -> dict[str, object]:
        return {"algorithm": "random", "settings": asdict(self.settings), "choices": list(self._space.choices)}
