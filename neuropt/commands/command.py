"""What a subcommand is."""

from __future__ import annotations

from typing import Protocol


class Command(Protocol):
    """A parsed subcommand."""

    def __call__(self) -> None:
        """Do it."""
        ...
