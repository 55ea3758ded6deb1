"""Print tables for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, object]
WIDE = 10_000


def print_json(value: object) -> None:
    """Print a value as JSON; a number that is not finite is a ValueError, since JSON has none."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_rows(rows: Sequence[Row], as_json: bool) -> None:
    """Print rows as a table whose columns are their keys, or as a JSON list.

    >>> print_rows([{"name": "g", "reward": 0.5}], as_json=False)
    name  reward
    g        0.5
    """
    if as_json:
        print_json([dict(row) for row in rows])
    elif rows:
        print_table(rows)


def print_table(rows: Sequence[Row]) -> None:
    """Print rows as a table: long texts are wrapped where there is a terminal, one row a line elsewhere."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE, highlight=False)
    with console.capture() as capture:
        console.print(table(rows))
    for line in capture.get().splitlines():
        print(line.rstrip())


def table(rows: Sequence[Row]) -> Table:
    """Return rows, of which there are some, as a table whose columns are their keys, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in rows[0]:
        numbers = all(isinstance(row[column], int | float | None) for row in rows)
        # a name is typed again, so it stays in one piece
        table.add_column(column, justify="right" if numbers else "left", overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(Text(show(value)) for value in row.values()))  # a Text, so that brackets are no markup
    return table


def show(value: object) -> str:
    """Return a value as a cell: numbers to four significant digits, None as a dash."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
