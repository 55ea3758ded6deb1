"""Curves for TensorBoard: `tensorboard --logdir RUN/tensorboard`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

FOLDER = "tensorboard"
FLUSH_SECONDS = 5


class TensorBoard:
    """Files in the folder of a run.

    Args:
        run: the folder.
    """

    def __init__(self, run: Path) -> None:
        self.writer = SummaryWriter(str(run / FOLDER), flush_secs=FLUSH_SECONDS)

    def write(self, values: Mapping[str, float], done: int, update: int | None = None) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, done if update is None else update)

    def close(self) -> None:
        """Write what is not yet written."""
        self.writer.close()
