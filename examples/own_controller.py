"""A controller of one's own: hill climbing. It changes one token of one of the ten best strings so far, and now and then draws a new one.

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
        self.best: list[tuple[float, tuple[int, ...]]] = []  # (reward, tokens), the best first
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
        if reward is not None:
            self.best = sorted([*self.best, (reward, tokens)], reverse=True)[:10]

    def _draw(self) -> tuple[int, ...]:
        afresh = not self.best or self.random.random() < 0.2
        parent = () if afresh else self.random.choice(self.best)[1]
        changed = self.random.randrange(len(self.space.choices))  # the position that gets another token
        tokens: list[int] = []
        for k in range(len(self.space.choices)):
            (mask,) = self.space.masks(np.array([tokens], dtype=np.int64))  # what may follow these tokens
            allowed = np.flatnonzero(mask).tolist()
            keep = not afresh and k != changed and parent[k] in allowed
            tokens.append(parent[k] if keep else self.random.choice(allowed))
        return tuple(tokens)
