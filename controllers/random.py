"""Random search: the baseline in every table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from controllers.ask_tell import AskTell, Tokens, shares
from controllers.checks import require
from controllers.controller import Outcome, TokenSpace
from controllers.strings import random_strings


@dataclass(frozen=True, kw_only=True)
class RandomSettings:
    """The choices of random search."""

    max_outstanding: int = 10_000
    """proposals that may wait for their outcome; beyond that the oldest are forgotten"""

    def __post_init__(self) -> None:
        require(self, "max_outstanding", self.max_outstanding >= 1, "a whole number of at least 1")


@final
class RandomSearch(AskTell):
    """Proposes at each position one of the allowed tokens, all equally probable, and learns nothing.

    Example:
        >>> [proposal.id for proposal in RandomSearch(space, seed=1).ask(2)]
        [0, 1]
    """

    algorithm: ClassVar[str] = "random"

    def __init__(self, space: TokenSpace, settings: RandomSettings | None = None, *, seed: int = 0) -> None:
        self.settings = RandomSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)

    def _draw(self, n: int) -> tuple[Tokens, list[float]]:
        return random_strings(self._space, n, self._generator), [0.0] * n

    def _admit(self, tokens: Tokens) -> list[float]:
        return [0.0] * len(tokens)

    def _learn(self, outcomes: list[Outcome], kept: list[float]) -> None:
        """Only count them: the last `tell` is all that an update is here."""
        self._metrics = shares(outcomes)
