"""The files of a comparison."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

SEARCHES, CURVES, SUMMARY, FIGURE = "searches.csv", "curves.csv", "comparison.json", "comparison.svg"
FILES = (SEARCHES, CURVES, SUMMARY, FIGURE)


def write_csv(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write records of the same keys, one a line; None is empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
