"""A complete table: rewards and losses of every distinct rule of a space, at each learning rate, on each seed.

What a search may see and what it is judged by are apart. A search sees one seed (or some); what it found is judged on all others, at the
learning rate that the seen seed chose:

    i*(r) = argmax_i  reward[r, i, seen]                       ties go to the lower loss
    quality(r) = mean over the other seeds s of -log loss[r, i*(r), s]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuropt.config import Reward
from search_space import SearchSpace

BEST_LOSS = 1e-6
"""As in `neuropt.searching.rewards`: a lower validation loss counts as this."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a search is told that sees some seeds of a table, and what the other seeds say.

    Args:
        seen, others: columns of the table's seeds.
        rates: (rules,), the best learning rate on the seen seeds, as a position in the grid.
        rewards: (rules,), the reward there, mean over the seen seeds.
        qualities: (rules,), minus log of validation loss at that learning rate, mean over the others; diverged children count with the
            task's bound of the loss.
        accuracies: (rules,), validation accuracy likewise.
    """

    seen: tuple[int, ...]
    others: tuple[int, ...]
    rates: NDArray[np.int64]
    rewards: Floats
    qualities: Floats
    accuracies: Floats

    def top(self, share: float = 0.001) -> NDArray[np.int64]:
        """Return the rules of the best share by quality, the best first; at least one.

        >>> import neuropt
        >>> neuropt.load_table("icml2017-digits-mlp").judge(seen=(0,)).top(0.001).size
        14
        """
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share must lie in 0..1, 0 excluded, but got {share!r}")
        count = max(1, round(share * len(self.qualities)))
        return np.argsort(-self.qualities, kind="stable")[:count]


@dataclass(frozen=True, eq=False)
class Table:
    """Every distinct rule of a space, trained on a task at each learning rate on each seed. `load_table` returns one.

    Args:
        name: of the table.
        space: what strings mean.
        task: name.
        steps: training steps of a child.
        seeds: of the children; the last axis of `losses` and `accuracies`.
        base_rates: (rates,), learning rates before they are divided by the rule's scale.
        worst_reward, best_reward: range of the accuracy as a reward.
        loss_bound: a loss above it is divergence.
        rules, tokens, scales, cosines, keys, rule_of, negated, reasons: as in `Enumeration`.
        losses: float32, (rules, rates, seeds), validation loss at the end of the budget; infinity where the child diverged.
        accuracies: float32, likewise, validation accuracy; NaN where the child diverged.
        failures: rule -> why it could not be trained at all.
        facts: how it was made: versions, hashes, settings, the date.
        sha256: of the file.

    >>> import neuropt
    >>> table = neuropt.load_table("icml2017-digits-mlp")
    >>> tokens = table.space.encode(neuropt.parse_rule("adam"))
    >>> table.rules[table.lookup(tokens)]
    'adam'
    """

    name: str
    space: SearchSpace
    task: str
    steps: int
    seeds: tuple[int, ...]
    base_rates: Floats
    worst_reward: float
    best_reward: float
    loss_bound: float
    rules: tuple[str, ...]
    tokens: NDArray[np.int16]
    scales: Floats
    cosines: Floats
    keys: NDArray[np.bytes_]
    rule_of: NDArray[np.int32]
    negated: NDArray[np.bool_]
    reasons: tuple[str, ...]
    losses: NDArray[np.float32]
    accuracies: NDArray[np.float32]
    failures: Mapping[int, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""

    # -- strings -------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        """What a token at each position adds to the number of a string."""
        choices = self.space.choices
        return tuple(math.prod(choices[position + 1 :]) for position in range(len(choices)))

    def number(self, tokens: Sequence[int]) -> int:
        """Return the number of a string, which must be one of the space's."""
        return sum([token * stride for token, stride in zip(tokens, self._strides, strict=True)])

    def lookup(self, tokens: Sequence[int]) -> int | None:
        """Return the rule that a string says, or None for one that is rejected or not allowed."""
        rule = int(self.rule_of[self.number(tokens)])
        return rule if rule >= 0 else None

    def reason(self, tokens: Sequence[int]) -> str:
        """Return why a string says no rule."""
        code = -2 - int(self.rule_of[self.number(tokens)])
        return self.reasons[code] if code >= 0 else "the constraints of the space do not allow it"

    def learning_rates(self, rule: int) -> tuple[float, ...]:
        """Return the learning rates that a rule was trained at."""
        return tuple((self.base_rates / self.scales[rule]).tolist())

    # -- numbers -------------------------------------------------------------------------------------------------------------------

    @property
    def metric(self) -> Reward:
        """What children of a table are measured by."""
        return "accuracy"

    @cached_property
    def rewards(self) -> Floats:
        """Validation accuracy as a reward, (rules, rates, seeds): clamped, the worst where the child diverged."""
        accuracies = np.where(np.isnan(self.accuracies), self.worst_reward, self.accuracies)
        return np.clip(accuracies.astype(np.float64), self.worst_reward, self.best_reward)

    @cached_property
    def log_losses(self) -> Floats:
        """Minus log of validation loss, (rules, rates, seeds): clamped, that of the bound where the child diverged."""
        losses = self.losses.astype(np.float64)
        return -np.log(np.clip(losses, BEST_LOSS, self.loss_bound))

    def judge(self, seen: Sequence[int] = (0,), reward: Reward = "accuracy") -> Judgement:
        """Return what a search is told that sees these seeds, and what the other seeds say of each rule.

        Args:
            seen: columns of `seeds`; at least one of the table's is left for judging.
            reward: what the search is told, and chooses the learning rate by: "accuracy", or "loss" for minus log of validation loss.

        Raises:
            ValueError: a column that the table does not have, or none left to judge by.

        >>> import neuropt
        >>> judged = neuropt.load_table("icml2017-digits-mlp").judge(seen=(1,))
        >>> judged.seen[0] in judged.others
        False
        """
        columns = tuple(int(column) for column in seen)
        others = tuple(column for column in range(len(self.seeds)) if column not in columns)
        if not columns or len(set(columns)) < len(columns) or not set(columns) <= set(range(len(self.seeds))):
            raise ValueError(f"seen must be distinct numbers from 0 to {len(self.seeds) - 1}, but got {tuple(seen)}")
        if not others:
            raise ValueError(f"{self.name} has {len(self.seeds)} seeds; seen={columns} leaves none to judge by")
        if (columns, reward) not in self._judged:
            self._judged[columns, reward] = self._judge(columns, others, reward)
        return self._judged[columns, reward]

    @cached_property
    def _judged(self) -> dict[tuple[tuple[int, ...], str], Judgement]:
        return {}

    def _judge(self, seen: tuple[int, ...], others: tuple[int, ...], reward: Reward) -> Judgement:
        values = self.rewards if reward == "accuracy" else self.log_losses
        told = values[:, :, seen].mean(axis=2)  # (rules, rates)
        ties = told == told.max(axis=1, keepdims=True)
        losses = np.minimum(self.losses[:, :, seen].astype(np.float64).mean(axis=2), 1e300)
        rates = np.where(ties, losses, np.inf).argmin(axis=1)
        rules = np.arange(len(self.rules))
        at_best = (rules[:, None], rates[:, None], np.array(others)[None, :])
        qualities, accuracies = self.log_losses[at_best].mean(axis=1), self.rewards[at_best].mean(axis=1)
        return Judgement(seen, others, rates, told[rules, rates], qualities, accuracies)

    def reward(self, rule: int, seed: int = 0) -> float:
        """Return the reward (accuracy) of a rule that a search sees on one seed, given by its column."""
        return float(self.judge((seed,)).rewards[rule])

    def quality(self, rule: int, seed: int = 0) -> float:
        """Return minus log of validation loss on the other seeds, at the learning rate that one seed chose."""
        return float(self.judge((seed,)).qualities[rule])
