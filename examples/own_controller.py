"""A controller of one's own: hill climbing. It changes one token of the best string so far, and now and then draws a new string.

neuropt search --controller examples/own_controller.py:HillClimbing
"""

import random

import numpy as np

from neuropt import Known, Outcome, Proposal, TokenSpace


class HillClimbing:
    """Asked for strings, told what became of them, saved and loaded: that is all of a controller."""

    def __init__(self, space: TokenSpace, seed: int) -> None:
        self.space = space
        self.random = random.Random(seed)  # its own, so that the seed decides everything
        self.asked = 0
        self.best: tuple[int, ...] = ()
        self.best_reward = float("-inf")
        self.waiting: list[tuple[int, ...]] = []  # of --warm-start

    def begin(self, known: list[Known]) -> None:
        self.waiting = [one.tokens for one in known if one.reward is None]
        for one in known:
            self._learn(one.tokens, one.reward)

    def ask(self, n: int) -> list[Proposal]:
        first, self.asked = self.asked, self.asked + n
        return [Proposal(first + i, self.waiting.pop(0) if self.waiting else self._draw()) for i in range(n)]

    def tell(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:  # trained, duplicate, rejected or failed
            self._learn(outcome.tokens, outcome.reward if outcome.status == "trained" else None)

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, object]:
        found = {name: value for name, value in vars(self).items() if name != "space"}
        return {**found, "random": self.random.getstate()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        vars(self).update({name: value for name, value in state.items() if name != "random"})
        self.random.setstate(state["random"])

    def _learn(self, tokens: tuple[int, ...], reward: float | None) -> None:
        if reward is not None and reward > self.best_reward:
            self.best, self.best_reward = tokens, reward

    def _draw(self) -> tuple[int, ...]:
        changed = self.random.randrange(len(self.space.choices))  # the position that gets another token
        afresh = not self.best or self.random.random() < 0.1
        tokens: list[int] = []
        for k in range(len(self.space.choices)):
            (mask,) = self.space.masks(np.array([tokens], dtype=np.int64))  # what may follow these tokens
            allowed = np.flatnonzero(mask).tolist()
            keep = not afresh and k != changed and self.best[k] in allowed
            tokens.append(self.best[k] if keep else self.random.choice(allowed))
        return tuple(tokens)
