"""A controller that is not ours, with what it does checked: its fault is one line that names its file, and no rule is lost to it.

mine.py:Mine, ask, line 24: KeyError: 'best'
mine.py:Mine: ask(3) must return 3 proposals, but returned 2
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import Any, cast, final

from controllers.checks import check_allowed, check_count, check_known, check_origin
from controllers.controller import Controller, Known, Outcome, Proposal, TokenSpace

METHODS = ("begin", "ask", "tell", "metrics", "state_dict", "load_state_dict")


@final
class Checked:
    """See `Controller` for what each method promises.

    Args:
        own: the controller.
        space: which strings exist.
        typed: how the user named it, `path/to/file.py:NAME`.
        sha256: of its file; a state that another file made is refused.
    """

    def __init__(self, own: Controller, space: TokenSpace, typed: str, sha256: str) -> None:
        self._own, self._space, self._typed = own, space, typed
        self._origin: dict[str, object] = {"algorithm": sha256, "choices": list(space.choices)}
        self._asked = 0

    def begin(self, known: Sequence[Known]) -> None:
        """Begin from known strings."""
        check_known(known, self._space)
        with speaking(self._typed, "begin"):
            self._own.begin(known)

    def ask(self, n: int) -> list[Proposal]:
        """Propose `n` strings that the space allows, with ids that count on."""
        check_count(n)
        with speaking(self._typed, "ask"):
            proposals = self._own.ask(n)
        self._check(proposals, n)
        self._asked += n
        return proposals

    def tell(self, outcomes: list[Outcome]) -> None:
        """Learn from outcomes."""
        with speaking(self._typed, "tell"):
            self._own.tell(outcomes)

    def metrics(self) -> dict[str, float]:
        """Report the last update; `updates` counts them, and nothing is recorded without it."""
        with speaking(self._typed, "metrics"):
            found = self._own.metrics()
        numbers = isinstance(found, dict) and all(
            isinstance(name, str) and isinstance(value, int | float) and math.isfinite(value)
            for name, value in found.items()
        )
        if not numbers:
            raise ValueError(
                f"{self._typed}: metrics() must return names with finite numbers, but returned {found!r:.80}"
            )
        return found

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future."""
        with speaking(self._typed, "state_dict"):
            own = self._own.state_dict()
        return {**self._origin, "asked": self._asked, "own": own}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken."""
        check_origin(state, self._origin)
        saved = cast("dict[str, Any]", state)
        with speaking(self._typed, "load_state_dict"):
            self._own.load_state_dict(saved["own"])
        self._asked = saved["asked"]

    def _check(self, proposals: list[Proposal], n: int) -> None:
        if not isinstance(proposals, list) or not all(isinstance(one, Proposal) for one in proposals):
            raise ValueError(f"{self._typed}: ask({n}) must return a list of Proposal, but returned {proposals!r:.80}")
        if len(proposals) != n:
            raise ValueError(f"{self._typed}: ask({n}) must return {n} proposals, but returned {len(proposals)}")
        for id, proposal in enumerate(proposals, start=self._asked):
            if proposal.id != id:
                raise ValueError(
                    f"{self._typed}: ids count on from 0, so that the next one is {id}, but ask({n}) returned {proposal.id}"
                )
            try:
                check_allowed(proposal.tokens, self._space, f"Proposal {id}")
            except (ValueError, TypeError, IndexError) as error:
                raise ValueError(f"{self._typed}: {error}") from None


@contextmanager
def speaking(typed: str, method: str) -> Iterator[None]:
    """Turn what a user's own code raises into one line that names its file, its method and the line."""
    try:
        yield
    except Exception as error:
        path = typed.rpartition(":")[0]
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == path]
        where = f"{Path(path).name}, {method}" + (f", line {lines[-1]}" if lines else "")
        raise ValueError(f"{where}: {type(error).__name__}: {error}".split("\n")[0]) from error
