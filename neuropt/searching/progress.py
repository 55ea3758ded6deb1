"""How a search goes, for people: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.live import Live
from rich.text import Text

from neuropt.searching.ledger_rows import ProposalRow, RewardRow

PLAIN_EVERY = 10.0
"""Seconds between two lines where the output is no terminal."""
RATE_OVER = 30.0
"""Seconds over which rules per minute are counted."""


class Progress:
    """Counts what happens and shows it.

    Args:
        rules: how many the search will train.
        console: where to; None shows nothing.
    """

    def __init__(self, rules: int, console: Console | None) -> None:
        self.rules, self.console = rules, console
        self.trained = self.failed = self.stopped = self.duplicates = self.rejected = self.proposals = 0
        self.best: tuple[float, str] | None = None
        self.started = self.printed = time.monotonic()
        self.recent: deque[tuple[float, int]] = deque([(self.started, 0)])
        self.live: Live | None = None
        self.replaying = False

    def __enter__(self) -> Progress:
        if self.console is not None and self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=4, get_renderable=self.line, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
        if self.console is not None:
            self.console.print(self.line(ended=True), soft_wrap=True)

    def asked(self, rows: Sequence[ProposalRow]) -> None:
        """Count proposals."""
        self.proposals += len(rows)
        self.duplicates += sum(row.status == "duplicate" for row in rows)
        self.rejected += sum(row.status == "rejected" for row in rows)

    def told(self, rows: Sequence[ProposalRow], rewards: Sequence[RewardRow]) -> None:
        """Count trained rules."""
        for row, reward in zip(rows, rewards, strict=True):
            self.trained += reward.status == "trained"
            self.failed += reward.status == "failed"
            self.stopped += reward.fidelity < 1.0
            full = reward.status == "trained" and reward.fidelity == 1.0
            if full and (self.best is None or reward.reward > self.best[0]):
                self.best = reward.reward, row.rule
        now = time.monotonic()
        self.recent.append((now, self.trained))
        while len(self.recent) > 2 and now - self.recent[0][0] > RATE_OVER:
            self.recent.popleft()
        complete = self.trained + self.failed >= self.rules  # the last line follows
        quiet = self.console is None or self.live is not None or self.replaying or complete
        if not quiet and self.console is not None and now - self.printed > PLAIN_EVERY:
            self.printed = now
            self.console.print(self.line(), soft_wrap=True)

    def updated(self, number: int, metrics: Mapping[str, float]) -> None:
        """Take what the controller says of an update; one line has no room for it."""

    def resumed(self) -> None:
        """Forget the pace of what was replayed."""
        self.replaying = False
        self.recent = deque([(time.monotonic(), self.trained)])

    @property
    def rate(self) -> float:
        """Rules a minute, lately."""
        (began, first), (ended, last) = self.recent[0], self.recent[-1]
        return 60.0 * (last - first) / max(ended - began, 1e-9) if last > first else 0.0

    def line(self, ended: bool = False) -> Text:
        """Return the present state as one line; without the time left once the search has ended."""
        parts = [f"{self.trained}/{self.rules} rules", f"{self.rate:,.0f} rules/min"]
        if not ended and 0 < self.trained < self.rules and self.rate:
            left = (self.rules - self.trained) / self.rate * 60
            parts.append(f"{left // 60:.0f}:{left % 60:02.0f} left")
        if self.best is not None:
            parts.append(f"best {self.best[0]:.4f}")
        if self.stopped:
            parts.append(f"{self.stopped} stopped early")
        if self.failed:
            parts.append(f"{self.failed} failed")
        parts += [f"{self.duplicates} duplicates", f"{self.rejected} rejected"]
        return Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")
