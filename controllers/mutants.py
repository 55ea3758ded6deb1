"""Changed copies of good strings among the proposals of a policy: evolution's search near what is good, for the policy to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from controllers.ask_tell import Tokens
from controllers.controller import Outcome, TokenSpace
from controllers.evolution import RETRIES, Population
from controllers.recent import Recent
from controllers.settings import PolicySettings
from controllers.strings import crossed, one_of_each, redraw


class Mutants:
    """Keeps the newest trained strings, and draws children of the best of a few of them, as regularised evolution does.

    Args:
        space: which strings exist.
        settings: share of the proposals, and who the parents are.
        recent: the newest proposals, none of which is repeated.
    """

    def __init__(self, space: TokenSpace, settings: PolicySettings, recent: Recent) -> None:
        self._space, self._settings, self._recent = space, settings, recent
        self._population = Population(settings.mutant_population, settings.worst_reward)

    def draw(self, n: int, generator: torch.Generator) -> Tokens:
        """Return those of the next `n` proposals that are to be mutants, (at most n, length); none before the population is full."""
        chosen = self._settings
        if chosen.mutant_share == 0.0 or len(self._population) < chosen.mutant_population:
            return np.zeros((0, len(self._space.choices)), dtype=np.int64)
        count = int((torch.rand(n, generator=generator) < chosen.mutant_share).sum())
        tokens = self._changed(self._crossed(count, generator), generator)
        for _ in range(RETRIES):
            again = self._recent.repeated(tokens)
            if not again.any():
                break
            tokens[again] = self._changed(tokens[again], generator)
        return tokens

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Let trained strings join the population; the oldest die."""
        for outcome in outcomes if self._settings.mutant_share > 0.0 else ():
            if outcome.status == "trained":
                self._population.add(outcome.tokens, outcome.reward)

    def _crossed(self, n: int, generator: torch.Generator) -> Tokens:
        parents = self._parents(n, generator)
        if self._settings.mutant_crossover == 0.0:
            return parents
        return crossed(parents, self._parents(n, generator), self._settings.mutant_crossover, generator)

    def _parents(self, n: int, generator: torch.Generator) -> Tokens:
        drawn = torch.randint(len(self._population), (n, self._settings.mutant_tournament), generator=generator)
        return self._population.best_of(drawn.numpy())

    def _changed(self, tokens: Tokens, generator: torch.Generator) -> Tokens:
        return redraw(self._space, tokens, one_of_each(tokens, generator), generator)

    def state_dict(self) -> dict[str, Any]:
        """Copy everything that decides the future."""
        return self._population.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace it by a copy made by `state_dict`."""
        self._population.load_state_dict(state)
