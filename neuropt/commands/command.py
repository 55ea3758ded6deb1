"""What a subcommand is."""

from __future__ import annotations

from typing import Protocol


class Command(Protocol):
    """A parsed subcommand."""

    def __call__(self) -> int | None:
        """Do it; the exit code, where it is not 0."""
        ...
