"""How the build of a table goes, in lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable

SAY_EVERY = 15.0
"""Seconds between two lines."""


class BuildProgress:
    """Counts rules and seeds, and says so now and then.

    Args:
        say: told a line; None says nothing.
    """

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self.say = say or (lambda line: None)
        self.began = self.said = time.monotonic()
        self.done = self.known = self.rules = self.seeds = 0

    def enumerated(self, done: int, strings: int, rules: int) -> None:
        """Hear of strings that were looked at."""
        if done == strings:
            self.say(f"{strings:,} strings say {rules:,} distinct rules that pass the screen")
        elif time.monotonic() - self.said > SAY_EVERY:
            self.said = time.monotonic()
            self.say(f"{done:,} of {strings:,} strings, {rules:,} rules")

    def begin(self, rules: int, seeds: int, known: int) -> None:
        """Hear of what is to be trained; `known` works are trained already."""
        self.rules, self.seeds = rules, seeds
        self.began = self.said = time.monotonic()
        self.say(f"{rules:,} rules on {seeds} seeds" + (f"; {known:,} works were trained before" if known else ""))

    def trained(self, rules: int) -> None:
        """Hear of rules that were trained on one seed."""
        self.done += rules
        now = time.monotonic()
        if now - self.said < SAY_EVERY:
            if now - self.began < 1.0:
                self.known = self.done  # comes from the ledger; training is not so fast
            return
        self.said = now
        pace = (self.done - self.known) / (now - self.began)
        total = self.rules * self.seeds
        left = (total - self.done) / pace if pace else 0.0
        self.say(
            f"{self.done:,} of {total:,} (rule, seed) pairs · {60 * pace:,.0f} a minute · {left // 60:.0f}:{left % 60:02.0f} left"
        )
