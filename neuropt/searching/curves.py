"""Curves of a search, written while it runs: for TensorBoard, Weights & Biases, MLflow.

    reward/*       of the rules of each trial that were trained in full (mean, median, best), and the best so far
    proposals/*    shares of duplicates and of rejected rules among those asked since the curve's last point
    search/*       rules a minute, failed rules, rules stopped at a rung
    controller/*   what the controller says of its updates: entropy, loss, KL, ..., over their number

TensorBoard has the controller's over the number of its updates; all else is over the number of rules that are done. What a resumed search
replays is not written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import Protocol

from rich.console import Console

from neuropt.searching.ledger_rows import ProposalRow, RewardRow
from neuropt.searching.progress import Progress


class Curves(Protocol):
    """Where curves go."""

    def write(self, values: Mapping[str, float], done: int, update: int | None = None) -> None:
        """Add a point to each curve: rules that are done, and the number of the controller's update where it is one of those."""
        ...

    def close(self) -> None:
        """Write what is not yet written."""
        ...


class CurvesProgress(Progress):
    """Progress that is written as curves, too.

    Args:
        rules: how many the search will train.
        console: where to show it; None shows nothing.
        begin: starts each of the places where curves go, when the search starts.
    """

    def __init__(self, rules: int, console: Console | None, begin: Sequence[Callable[[], Curves]]) -> None:
        super().__init__(rules, console)
        self.begin = begin
        self.curves: list[Curves] = []
        self.before = (0, 0, 0)

    def __enter__(self) -> Progress:
        self.curves = [begin() for begin in self.begin]
        return super().__enter__()

    def __exit__(self, *ended: object) -> None:
        for curves in self.curves:
            curves.close()
        super().__exit__(*ended)

    def told(self, rows: Sequence[ProposalRow], rewards: Sequence[RewardRow]) -> None:
        """Count trained rules, and write how the search goes."""
        super().told(rows, rewards)
        if self.replaying:
            return
        earned = [reward.reward for reward in rewards if reward.status == "trained" and reward.fidelity == 1.0]
        if earned:
            self._write({"reward/mean": fmean(earned), "reward/median": median(earned), "reward/best": max(earned)})
        if self.best is not None:
            self._write({"reward/best_so_far": self.best[0]})
        self._write({"search/rules_a_minute": self.rate, "search/failed": self.failed})
        if self.stopped:
            self._write({"search/stopped": self.stopped})
        self._write_shares()

    def updated(self, number: int, metrics: Mapping[str, float]) -> None:
        """Write what the controller says of an update."""
        if not self.replaying:
            self._write({f"controller/{name}": value for name, value in metrics.items()}, number)

    def resumed(self) -> None:
        """Forget the pace and the shares of what was replayed."""
        super().resumed()
        self.before = (self.proposals, self.duplicates, self.rejected)

    def _write_shares(self) -> None:
        now = (self.proposals, self.duplicates, self.rejected)
        asked, duplicates, rejected = (a - b for a, b in zip(now, self.before, strict=True))
        self.before = now
        if asked:
            self._write({"proposals/duplicate": duplicates / asked, "proposals/rejected": rejected / asked})

    def _write(self, values: Mapping[str, float], update: int | None = None) -> None:
        for curves in self.curves:
            curves.write(values, self.trained + self.failed, update)
