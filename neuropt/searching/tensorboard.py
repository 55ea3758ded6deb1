"""Curves of a search for TensorBoard, written while it runs: `tensorboard --logdir RUN/tensorboard`.

    reward/*       of the rules of each trial (mean, median, best), and the best so far
    proposals/*    shares of duplicates and of rejected rules among those asked since the curve's last point
    search/*       rules a minute, failed rules
    controller/*   what the controller says of its updates: entropy, loss, KL, ..., over their number

All others over the number of rules that are done. What a resumed search replays is not written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median

from rich.console import Console
from tensorboardX import SummaryWriter

from neuropt.searching.ledger import ProposalRow, RewardRow
from neuropt.searching.progress import Progress

FOLDER = "tensorboard"
FLUSH_SECONDS = 5


class TensorBoardProgress(Progress):
    """Progress that is written to the folder of a run, too.

    Args:
        rules: how many the search will train.
        console: where to show it; None shows nothing.
        folder: of the run.
    """

    def __init__(self, rules: int, console: Console | None, folder: Path) -> None:
        super().__init__(rules, console)
        self.writer = SummaryWriter(str(folder / FOLDER), flush_secs=FLUSH_SECONDS)
        self.before = (0, 0, 0)

    def __exit__(self, *ended: object) -> None:
        self.writer.close()
        super().__exit__(*ended)

    def told(self, rows: Sequence[ProposalRow], rewards: Sequence[RewardRow]) -> None:
        """Count trained rules, and write how the search goes."""
        super().told(rows, rewards)
        if self.replaying:
            return
        earned = [reward.reward for reward in rewards if reward.status == "trained"]
        if earned:
            self._write({"reward/mean": fmean(earned), "reward/median": median(earned), "reward/best": max(earned)})
        if self.best is not None:
            self._write({"reward/best_so_far": self.best[0]})
        self._write({"search/rules_a_minute": self.rate, "search/failed": self.failed})
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

    def _write(self, values: Mapping[str, float], at: int | None = None) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.trained + self.failed if at is None else at)
