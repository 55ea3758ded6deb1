"""The files of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

SEARCHES, CURVES, SUMMARY, FIGURE = "searches.csv", "curves.csv", "comparison.json", "comparison.svg"


def check_out(folder: Path) -> None:
    """Make the folder of a comparison, before anything is searched.

    Raises:
        ValueError: it holds a comparison already, or cannot be written.
    """
    for name in (SEARCHES, CURVES, SUMMARY, FIGURE):
        if (folder / name).exists():
            raise ValueError(f"{folder / name} exists already; choose another folder for this comparison")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMMARY).touch()
        (folder / SUMMARY).unlink()
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror or error}") from None


def write_csv(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write records of the same keys, one a line; None is empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
