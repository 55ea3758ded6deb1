"""Proposing while workers train: the next trial is ready when a worker is free, which else would wait for controller and screening."""

from __future__ import annotations

from typing import Literal

from neuropt.searching.executor import Engine, Trial
from neuropt.training.work import Done


class Ahead:
    """An engine that is one trial ahead.

    Args:
        engine: the search. It is asked one trial earlier than without, so its controller knows one result less.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ready: Trial | None = None

    def prepare(self) -> None:
        """Have the next trial ready, if there is one already; to be called when workers are busy."""
        if self.ready is None:
            trial = self.engine.next_trial()
            self.ready = trial if isinstance(trial, Trial) else None

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        """Return the trial that is ready, else the engine's next."""
        if self.ready is None:
            return self.engine.next_trial()
        trial, self.ready = self.ready, None
        return trial

    def finish(self, number: int, done: Done) -> None:
        """Take the result of a trial."""
        self.engine.finish(number, done)
