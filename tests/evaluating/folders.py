"""A small evaluation, and what one leaves in its folder."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

SMALL: dict[str, Any] = {"seeds": 3, "tune_seeds": 1, "steps": 6, "evaluations": 3}
CLOCK = ("seconds", "us_per_step")


def children(folder: Path) -> list[dict[str, str]]:
    """Return the rows of its children, without times."""
    with (folder / "children.csv").open(newline="") as file:
        return [{k: v for k, v in line.items() if k not in CLOCK} for line in csv.DictReader(file)]


def works(folder: Path) -> int:
    """Return how many works its ledger holds."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        return int(connection.execute("SELECT count(*) FROM evaluation_works").fetchone()[0])
