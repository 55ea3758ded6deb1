"""What every controller of this package has in common: ids, outstanding proposals, the random generator, what is known, and its state.

A concrete controller says how it draws strings and how it learns; nothing else. Random search, the smallest, draws and learns nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from controllers.checks import check_count, check_known, check_origin
from controllers.controller import Known, Outcome, Proposal, TokenSpace
from controllers.pending import Pending

Tokens = NDArray[np.int64]


class AnySettings(Protocol):
    """Settings of any controller: a frozen dataclass with at least this field."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def max_outstanding(self) -> int:
        """Proposals that may wait for their outcome."""
        ...


class Stateful(Protocol):
    """A part of a controller whose state is saved with it."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> object:
        """Replace the state."""
        ...


class AskTell(ABC):
    """The plumbing between `ask` and `tell`; see `Controller` for what each method promises.

    Args:
        space: which strings exist.
        settings: the controller's choices.
        seed: decides every draw.
    """

    algorithm: ClassVar[str]
    """the name under which states are saved"""

    def __init__(self, space: TokenSpace, settings: AnySettings, seed: int) -> None:
        self._space, self._settings = space, settings
        self._generator = torch.Generator().manual_seed(seed)
        self._pending = Pending(settings.max_outstanding)
        self._waiting: list[tuple[int, ...]] = []  # known strings that are still to be proposed
        self._metrics: dict[str, float] = {}
        self._parts: dict[str, Stateful] = {"pending": self._pending}  # a concrete controller adds its own

    # -- what a concrete controller says ---------------------------------------------------------------------------------------

    @abstractmethod
    def _draw(self, n: int) -> tuple[Tokens, list[float]]:
        """Draw `n` strings, (n, length), and for each a number to keep until its outcome is told, such as its log-probability."""

    @abstractmethod
    def _admit(self, tokens: Tokens) -> list[float]:
        """Take note of strings that come from outside, and return the number to keep for each."""

    @abstractmethod
    def _learn(self, outcomes: list[Outcome], kept: list[float]) -> None:
        """Learn from outcomes, given the numbers kept since their strings were drawn."""

    # -- what follows from it --------------------------------------------------------------------------------------------------

    def begin(self, known: Sequence[Known]) -> None:
        """Begin from known strings: propose those without a reward first, learn from the others."""
        check_known(known, self._space)
        self._waiting += [k.tokens for k in known if k.reward is None]
        for tokens, reward in ((k.tokens, k.reward) for k in known if k.reward is not None):
            # one after the other, since each may change how probable the next one is
            self._learn([Outcome(-1, tokens, "trained", reward)], self._admit(np.array([tokens], dtype=np.int64)))

    def ask(self, n: int) -> list[Proposal]:
        """Propose `n` strings."""
        check_count(n)
        given, self._waiting = self._waiting[:n], self._waiting[n:]
        proposals: list[Proposal] = []
        if given:
            known = np.array(given, dtype=np.int64)
            proposals += self._pending.add(known, self._admit(known))
        return proposals + self._pending.add(*self._draw(n - len(given)))

    def tell(self, outcomes: list[Outcome]) -> None:
        """Learn from outcomes, in any order and number."""
        kept = self._pending.take(outcomes)
        if outcomes:
            self._learn(outcomes, kept)

    def metrics(self) -> dict[str, float]:
        """Report the last update."""
        return dict(self._metrics)

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future."""
        return {
            **self._origin(),
            "generator": self._generator.get_state(),
            "waiting": [list(tokens) for tokens in self._waiting],
            "metrics": dict(self._metrics),
            **{name: deepcopy(part.state_dict()) for name, part in self._parts.items()},
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken."""
        check_origin(state, self._origin())
        saved = cast("dict[str, Any]", state)
        self._generator.set_state(saved["generator"])
        self._waiting = [tuple(tokens) for tokens in saved["waiting"]]
        self._metrics = dict(saved["metrics"])
        for name, part in self._parts.items():
            part.load_state_dict(deepcopy(saved[name]))

    def _origin(self) -> dict[str, object]:
        return {
            "algorithm": self.algorithm,
            "settings": asdict(self._settings),
            "choices": list(self._space.choices),
        }


def shares(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Measure the share of duplicates and of useless rules, as metrics."""
    told = [outcome.status for outcome in outcomes]
    return {
        "duplicate_share": told.count("duplicate") / len(told),
        "invalid_share": (told.count("rejected") + told.count("failed")) / len(told),
    }
