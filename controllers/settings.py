"""What every controller that trains the LSTM policy lets its user choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from controllers.advantages import ADVANTAGE_KINDS, AdvantageKind
from controllers.checks import require, require_one_of

Duplicates = Literal["floor", "skip", "paid"]
"""What a duplicate earns: the worst reward, nothing at all (it is left out of the update), or the reward it comes with."""

DUPLICATES: tuple[Duplicates, ...] = get_args(Duplicates)


MAX_UNITS = 10_000
"""More would fill the memory before the first proposal."""

MAX_POPULATION = 100_000
"""More would be as good as all that a search trains."""

MAX_REDRAWS = 100
"""A policy that repeats itself a hundred times has nothing else to say."""

MAX_QUEUE = 1_000
"""More would cost more than the batch itself."""


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """The choices that REINFORCE, PPO and TRPO share; checked once, here.

    Raises:
        ValueError: naming the field, what it got and what would be valid.
    """

    batch_size: int = 20
    """outcomes an update; ranks need a batch large enough to tell good from best"""
    entropy_weight: float = 0.05
    """weight of the entropy of a whole string (nats, summed over its tokens) in the loss; keeps the policy trying new rules"""
    advantages: AdvantageKind = "rank"
    """`rank` (to the fourth power), `z-score`, or `baseline` (reward minus a moving average)"""
    top_share: float = 1.0
    """share of a batch, the best, that teaches the policy; below 1 it is risk-seeking: it learns what the best do, not what most do"""
    baseline_decay: float = 0.9
    """share of the old value that the moving average of rewards keeps at each update"""
    duplicates: Duplicates = "floor"
    """`floor`: earns the worst reward; `skip`: is left out of the update; `paid`: earns its stored reward, and the policy collapses"""
    worst_reward: float = 0.0
    """the floor that rejected, failed and duplicate rules earn, lowered to the worst reward told so far if that is lower"""
    queue_size: int = 0
    """best strings so far that the policy is also trained to repeat (priority-queue training); 0 for none"""
    queue_weight: float = 0.1
    """weight of minus their mean log-probability in the loss"""
    mutant_share: float = 0.0
    """share of proposals that are changed copies of good strings, as evolution makes them; the policy learns from them as from its own"""
    mutant_population: int = 50
    """strings that mutants may descend from, the newest trained ones"""
    mutant_tournament: int = 10
    """of so many of them, drawn at random, the best is a mutant's parent"""
    mutant_crossover: float = 0.0
    """share of mutants that take tokens from a second parent too"""
    redraws: int = 0
    """times that the policy draws anew where it repeats one of the newest proposals; 0 lets it repeat itself"""
    hidden: int = 150
    """units of the LSTM"""
    embedding: int = 64
    """numbers that stand for one token at the LSTM's input"""
    initial_range: float = 0.08
    """weights begin uniform in (-initial_range, initial_range)"""
    max_outstanding: int = 10_000
    """proposals that may wait for an outcome; beyond that the oldest are forgotten, so that lost results never fill the memory"""

    def __post_init__(self) -> None:
        require(self, "batch_size", self.batch_size >= 2, "a whole number of at least 2")
        require(self, "entropy_weight", 0.0 <= self.entropy_weight < math.inf, "0 or a positive number")
        require_one_of(self, "advantages", ADVANTAGE_KINDS)
        require(self, "top_share", 0.0 < self.top_share <= 1.0, "in (0, 1]")
        require(self, "baseline_decay", 0.0 <= self.baseline_decay < 1.0, "in [0, 1)")
        require_one_of(self, "duplicates", DUPLICATES)
        require(self, "worst_reward", math.isfinite(self.worst_reward), "a finite number")
        require(self, "queue_size", 0 <= self.queue_size <= MAX_QUEUE, f"a whole number from 0 to {MAX_QUEUE}")
        require(self, "queue_weight", 0.0 <= self.queue_weight < math.inf, "0 or a positive number")
        require(self, "mutant_share", 0.0 <= self.mutant_share < 1.0, "in [0, 1)")
        fits = 2 <= self.mutant_population <= MAX_POPULATION
        require(self, "mutant_population", fits, f"a whole number from 2 to {MAX_POPULATION}")
        fits = 1 <= self.mutant_tournament <= MAX_POPULATION
        require(self, "mutant_tournament", fits, f"a whole number from 1 to {MAX_POPULATION}")
        require(self, "mutant_crossover", 0.0 <= self.mutant_crossover <= 1.0, "in [0, 1]")
        require(self, "redraws", 0 <= self.redraws <= MAX_REDRAWS, f"a whole number from 0 to {MAX_REDRAWS}")
        require(self, "hidden", 1 <= self.hidden <= MAX_UNITS, f"a whole number from 1 to {MAX_UNITS}")
        require(self, "embedding", 1 <= self.embedding <= MAX_UNITS, f"a whole number from 1 to {MAX_UNITS}")
        require(self, "initial_range", 0.0 < self.initial_range < math.inf, "a positive number")
        require(self, "max_outstanding", self.max_outstanding >= self.batch_size, "at least batch_size")


@dataclass(frozen=True, kw_only=True)
class AdamSettings(PolicySettings):
    """The choices of those that follow the gradient by Adam: REINFORCE and PPO."""

    learning_rate: float = 3e-3
    """Adam's learning rate"""
    gradient_clip: float = 1.0
    """largest norm of the gradient of an update"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "learning_rate", 0.0 < self.learning_rate < math.inf, "a positive number")
        require(self, "gradient_clip", 0.0 < self.gradient_clip < math.inf, "a positive number")
