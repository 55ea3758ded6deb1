"""Changed copies of good strings among the proposals of a policy: evolution's search near what is good, for the policy to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from controllers.ask_tell import Tokens
from controllers.controller import Outcome, TokenSpace
from controllers.evolution import RETRIES, EvolutionSettings, Population
from controllers.recent import Recent
from controllers.strings import redraw


class Mutants:
    """Keeps the newest trained strings, and draws children of the best of a few of them, as regularised evolution does.

    Args:
        space: which strings exist.
        share: of the proposals; 0 for none.
    """

    def __init__(self, space: TokenSpace, share: float) -> None:
        usual = EvolutionSettings()
        self._space, self._share = space, share
        self._size, self._tournament = usual.population, usual.tournament
        self._population = Population(self._size, usual.worst_reward)
        self._recent = Recent(usual.memory)

    def draw(self, n: int, generator: torch.Generator) -> Tokens:
        """Return those of the next `n` proposals that are to be mutants, (at most n, length); none before the population is full."""
        if self._share == 0.0 or len(self._population) < self._size:
            return np.zeros((0, len(self._space.choices)), dtype=np.int64)
        count = int((torch.rand(n, generator=generator) < self._share).sum())
        drawn = torch.randint(len(self._population), (count, self._tournament), generator=generator)
        tokens = self._changed(self._population.best_of(drawn.numpy()), generator)
        for _ in range(RETRIES):
            again = self._recent.repeated(tokens)
            if not again.any():
                break
            tokens[again] = self._changed(tokens[again], generator)
        return tokens

    def note(self, tokens: Tokens) -> None:
        """Remember what was proposed, so that no mutant repeats it."""
        if self._share > 0.0:
            self._recent.add(tokens)

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Let trained strings join the population; the oldest die."""
        for outcome in outcomes if self._share > 0.0 else ():
            if outcome.status == "trained":
                self._population.add(outcome.tokens, outcome.reward)

    def _changed(self, tokens: Tokens, generator: torch.Generator) -> Tokens:
        n, length = tokens.shape
        marked = torch.zeros(n, length, dtype=torch.bool)
        marked[torch.arange(n), torch.randint(length, (n,), generator=generator)] = True
        return redraw(self._space, tokens, marked.numpy(), generator)

    def state_dict(self) -> dict[str, Any]:
        """Copy everything that decides the future."""
        return {"population": self._population.state_dict(), "recent": self._recent.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace it by a copy made by `state_dict`."""
        self._population.load_state_dict(state["population"])
        self._recent.load_state_dict(state["recent"])
