"""Tree search from the left: a string's beginnings are nodes, scored by what their completions earned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray

from controllers.ask_tell import AskTell, Tokens, shares
from controllers.checks import check_masks, require, require_one_of
from controllers.controller import Outcome, TokenSpace
from controllers.settings import DUPLICATES, Duplicates
from controllers.strings import redraw
from controllers.tree_nodes import Ranks, Tree

MAX_NODES = 1_000_000
REMEMBERED = 1_000
"""rewards against which a new one is ranked"""


@dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """The choices of tree search."""

    exploration: float = 0.1
    """weight of how little a token was tried, beside what it earned (0 to 1)"""
    rank_power: float = 4.0
    """a reward counts as its rank among the newest thousand, from 0 to 1, to this power: with more, only the best count"""
    duplicates: Duplicates = "floor"
    """`floor`: counts as a completion that earned 0; `skip`: not at all; `paid`: with its stored reward"""
    max_nodes: int = 20_000
    """beginnings that are remembered; after that the tree keeps its shape, and learns on"""
    max_outstanding: int = 10_000
    """proposals that may wait for their outcome; beyond that the oldest are forgotten"""

    def __post_init__(self) -> None:
        require(self, "exploration", 0.0 <= self.exploration < math.inf, "0 or a positive number")
        require(self, "rank_power", 0.0 < self.rank_power < math.inf, "a positive number")
        require_one_of(self, "duplicates", DUPLICATES)
        require(self, "max_nodes", 1 <= self.max_nodes <= MAX_NODES, f"a whole number from 1 to {MAX_NODES}")
        require(self, "max_outstanding", self.max_outstanding >= 1, "a whole number of at least 1")


@final
class TreeSearch(AskTell):
    """Goes down the tree by the upper confidence bound, adds the first beginning that is new, and completes it at random.

    token = argmax_a  earned_a / tried_a + exploration sqrt(log(tried) / tried_a),   tokens never tried first

    `tried` counts at asking, so that strings asked together differ; `earned` is the rank of the reward among the newest ones, to a power.

    Example:
        >>> controller = TreeSearch(space, seed=1)
        >>> proposals = controller.ask(5)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=p.id / 5) for p in proposals])
        >>> controller.metrics()["tree_nodes"]
        6.0

    Source: Kocsis and Szepesvari, "Bandit based Monte-Carlo planning", 2006; the scores as in no paper, but ranks as in `advantages`.
    """

    algorithm: ClassVar[str] = "tree"

    def __init__(self, space: TokenSpace, settings: TreeSettings | None = None, *, seed: int = 0) -> None:
        self.settings = TreeSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)
        self._tree = Tree(max(space.choices), self.settings.max_nodes)
        self._ranks = Ranks(REMEMBERED)
        self._parts |= {"tree": self._tree, "ranks": self._ranks}

    def _draw(self, n: int) -> tuple[Tokens, list[float]]:
        length = len(self._space.choices)
        tokens, depths = np.zeros((n, length), dtype=np.int64), [0.0] * n
        for i in range(n):  # one after the other: each changes the counts that the next one reads
            tokens[i] = self._descend(length)
            depths[i] = float(self._tree.count(tokens[i]))
        return tokens, depths

    def _admit(self, tokens: Tokens) -> list[float]:
        return [float(self._tree.count(row)) for row in tokens]

    def _learn(self, outcomes: list[Outcome], kept: list[float]) -> None:
        for outcome, depth in zip(outcomes, kept, strict=True):
            self._tree.earn(outcome.tokens, int(depth), self._earned(outcome))
        learnt = self._metrics.get("updates", 0.0) + len(outcomes)
        self._metrics = {"updates": learnt, **shares(outcomes), "tree_nodes": float(len(self._tree))}

    def _earned(self, outcome: Outcome) -> float | None:
        """Return what an outcome is worth, 0 to 1; None if it does not count."""
        if outcome.status == "duplicate" and self.settings.duplicates == "skip":
            return None
        paid = outcome.status == "trained" or (outcome.status == "duplicate" and self.settings.duplicates == "paid")
        if not paid or outcome.reward is None:
            return 0.0
        rank = self._ranks.of(outcome.reward)
        if outcome.status == "trained":
            self._ranks.add(outcome.reward)
        return float(rank**self.settings.rank_power)

    def _descend(self, length: int) -> NDArray[np.int64]:
        """Choose tokens down to the end of the tree, and the rest at random: (length,)."""
        tokens = np.full((1, length), -1, dtype=np.int64)
        node = 0
        for k, count in enumerate(self._space.choices):
            allowed = self._space.masks(tokens[:, :k])
            check_masks(allowed, tokens[:, :k])
            draws = torch.rand(count, generator=self._generator).numpy()
            token = self._tree.choose(node, allowed[0], draws, self.settings.exploration)
            tokens[0, k] = token
            node = self._tree.after(node, token)
            if node < 0:
                break
        complete: NDArray[np.int64] = redraw(self._space, tokens, tokens < 0, self._generator)[0]
        return complete
