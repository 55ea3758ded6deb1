"""Regularised evolution: the best of a few becomes a parent, its changed copy is tried, and the oldest of the population dies."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch

from controllers.ask_tell import AskTell, Tokens, shares
from controllers.checks import require, require_one_of
from controllers.controller import Outcome, TokenSpace
from controllers.recent import Recent
from controllers.settings import DUPLICATES, MAX_POPULATION, Duplicates
from controllers.strings import crossed, one_of_each, random_strings, redraw

RETRIES = 10
"""times that a child which was proposed lately is changed once more"""


@dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """The choices of regularised evolution; the defaults are those that found good rules soonest."""

    population: int = 50
    """strings alive; a new one replaces the oldest"""
    tournament: int = 10
    """strings drawn for each child, of which the best is its parent"""
    mutation: float = 0.0
    """probability of each token of a child to change, beside the one that always does"""
    crossover: float = 0.0
    """share of children that take tokens from a second parent too, each with probability 1/2, before they change"""
    duplicates: Duplicates = "skip"
    """`skip`: does not join the population; `floor`: joins with the worst reward; `paid`: joins with its stored reward"""
    worst_reward: float = 0.0
    """the floor, lowered to the worst reward told so far if that is lower"""
    memory: int = 10_000
    """newest strings, which are not proposed again"""
    max_outstanding: int = 10_000
    """proposals that may wait for their outcome; beyond that the oldest are forgotten"""

    def __post_init__(self) -> None:
        fits = 2 <= self.population <= MAX_POPULATION
        require(self, "population", fits, f"a whole number from 2 to {MAX_POPULATION}")
        require(
            self, "tournament", 1 <= self.tournament <= MAX_POPULATION, f"a whole number from 1 to {MAX_POPULATION}"
        )
        require(self, "mutation", 0.0 <= self.mutation <= 1.0, "in [0, 1]")
        require(self, "crossover", 0.0 <= self.crossover <= 1.0, "in [0, 1]")
        require_one_of(self, "duplicates", DUPLICATES)
        require(self, "worst_reward", abs(self.worst_reward) < float("inf"), "a finite number")
        require(self, "memory", self.memory >= 0, "0 or a positive whole number")
        require(self, "max_outstanding", self.max_outstanding >= 1, "a whole number of at least 1")


@final
class Evolution(AskTell):
    """Keeps the newest strings that were trained, and proposes changed copies of the best among a few drawn from them.

    The first `population` strings are random, or known. Rejected and failed rules do not join.

    Example:
        >>> controller = Evolution(space, EvolutionSettings(population=10, tournament=3), seed=1)
        >>> proposals = controller.ask(10)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=p.id / 10) for p in proposals])
        >>> controller.metrics()["population_best"]
        0.9

    Source: Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture search", arXiv:1802.01548, algorithm 1.
    """

    algorithm: ClassVar[str] = "evolution"

    def __init__(self, space: TokenSpace, settings: EvolutionSettings | None = None, *, seed: int = 0) -> None:
        self.settings = EvolutionSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)
        self._population = Population(self.settings.population, self.settings.worst_reward)
        self._recent = Recent(self.settings.memory)
        self._parts |= {"population": self._population, "recent": self._recent}

    def _draw(self, n: int) -> tuple[Tokens, list[float]]:
        grown = len(self._population) >= self.settings.population
        tokens = self._children(n) if grown else random_strings(self._space, n, self._generator)
        for _ in range(RETRIES):
            again = self._recent.repeated(tokens)
            if not again.any():
                break
            tokens[again] = self._mutated(tokens[again])
        return tokens, self._admit(tokens)

    def _admit(self, tokens: Tokens) -> list[float]:
        self._recent.add(tokens)
        return [0.0] * len(tokens)

    def _learn(self, outcomes: list[Outcome], kept: list[float]) -> None:
        for outcome in outcomes:
            self._join(outcome)
        learnt = self._metrics.get("updates", 0.0) + len(outcomes)
        self._metrics = {"updates": learnt, **shares(outcomes), **self._population.measure()}

    def _join(self, outcome: Outcome) -> None:
        if outcome.status == "trained":
            self._population.add(outcome.tokens, outcome.reward)
        elif outcome.status == "duplicate" and self.settings.duplicates != "skip":
            paid = self.settings.duplicates == "paid"
            self._population.add(outcome.tokens, outcome.reward if paid else None)

    def _children(self, n: int) -> Tokens:
        parents, others = self._parents(n), self._parents(n)
        return self._mutated(crossed(parents, others, self.settings.crossover, self._generator))

    def _parents(self, n: int) -> Tokens:
        """Hold `n` tournaments, and return their winners."""
        drawn = torch.randint(len(self._population), (n, self.settings.tournament), generator=self._generator)
        return self._population.best_of(drawn.numpy())

    def _mutated(self, tokens: Tokens) -> Tokens:
        by_chance = torch.rand(tokens.shape, generator=self._generator) < self.settings.mutation
        return redraw(self._space, tokens, by_chance.numpy() | one_of_each(tokens, self._generator), self._generator)


class Population:
    """The newest `size` strings with what they earned; one without a reward earned the floor."""

    def __init__(self, size: int, worst_reward: float) -> None:
        self._floor = worst_reward
        self._alive: deque[tuple[tuple[int, ...], float | None]] = deque(maxlen=size)  # the oldest first

    def __len__(self) -> int:
        return len(self._alive)

    def add(self, tokens: tuple[int, ...], reward: float | None) -> None:
        """Let a string join; the oldest dies if there are too many."""
        if reward is not None:
            self._floor = min(self._floor, float(reward))
        self._alive.append((tuple(int(token) for token in tokens), None if reward is None else float(reward)))

    def best_of(self, drawn: Tokens) -> Tokens:
        """Return the best string of each row of places (n, tournament): (n, length)."""
        tokens, rewards = np.array([t for t, _ in self._alive], dtype=np.int64), self._rewards()
        winners = rewards[drawn].argmax(axis=1)
        best: Tokens = tokens[drawn[np.arange(len(drawn)), winners]]
        return best

    def measure(self) -> dict[str, float]:
        """Report the mean and the best reward."""
        if not self._alive:
            return {}
        rewards = self._rewards()
        return {"population_mean": float(rewards.mean()), "population_best": float(rewards.max())}

    def state_dict(self) -> dict[str, Any]:
        """Copy it as plain values."""
        return {
            "floor": self._floor,
            "tokens": [list(tokens) for tokens, _ in self._alive],
            "rewards": [reward for _, reward in self._alive],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace it by a copy made by `state_dict`."""
        self._floor = state["floor"]
        self._alive = deque(zip(map(tuple, state["tokens"]), state["rewards"], strict=True), self._alive.maxlen)

    def _rewards(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([self._floor if reward is None else reward for _, reward in self._alive])
