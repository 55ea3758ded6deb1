"""Tables of evaluations and of finalists, readable from 80 columns on; plain text where there is no terminal.

Rules are long, so a table shows their ends and the full text stands below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import LEAST_FOR_INTERVAL, Spread
from neuropt.optimizers.named_schedules import CONSTANT

WIDE = 112
"""Columns from which on the interval of the test median is shown, and two spaces between columns."""
NAME = 1
"""The column of names and rules, which gets the room that numbers leave."""
TEXTS = ("optimizer", "schedule")
MARKS = {"edge": "^", "searched": "*"}


def print_rows(rows: Sequence[Row], title: str, console: Console) -> None:
    """Print rows as a table, in the order given, with what it rests on below."""
    if not rows:
        console.print(Text(f"{title}: nothing was compared"))
        return
    wide = console.width >= WIDE
    gap = 2 if wide else 1
    scheduled = any(row.schedule != CONSTANT for row in rows)
    column = scheduled and wide
    header = _header(rows[0], wide, column)
    cells = [_cells(row, position, wide, column) for position, row in enumerate(rows, 1)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    room = max(12, console.width - (sum(widths) - widths[NAME]) - gap * len(header))
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, justify="left" if name in TEXTS else "right", no_wrap=True)
    for row, line in zip(rows, cells, strict=True):
        line[NAME] = _label(row, room, scheduled and not wide)
        table.add_row(*map(Text, line))  # a Text, so that brackets are no markup
    console.print(Text(title, style="bold"))
    console.print(table)
    shortened_names = _full_names(rows, room) if scheduled and not wide else []
    for note in [_legend(rows, wide), *_marks(rows), *_failures(rows), *shortened_names, *_full_texts(rows, room)]:
        console.print(Text(note), soft_wrap=not console.is_terminal)


def shortened(text: str, room: int) -> str:
    """Return a text with its middle left out where it is too long.

    >>> shortened("exp(sign(g) * sign(m)) * g", 15)
    'exp(si...)) * g'
    """
    if len(text) <= room:
        return text
    kept = room - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def _header(row: Row, wide: bool, schedule: bool) -> list[str]:
    unit = "accuracy %" if row.metric == "accuracy" else "loss"
    header = [
        "",
        "optimizer",
        *(["schedule"] if schedule else []),
        "lr",
        f"validation {unit}" if wide else f"valid. {unit}",
        f"test {unit}",
    ]
    return [*header, *(["test median 95 %"] if wide else []), "n", "div."]


def _cells(row: Row, position: int, wide: bool, schedule: bool) -> list[str]:
    show = _percent if row.metric == "accuracy" else _loss
    rate = "-" if row.learning_rate is None else f"{row.learning_rate:.3g}{MARKS['edge'] * row.edge}"
    cells = [
        str(position),
        "",
        *([row.schedule] if schedule else []),
        rate,
        _spread(row.validation, show),
        _spread(row.test, show) if row.test is not None or row.failure is not None else "-",
    ]
    return [*cells, *([_interval(row.test, show)] if wide else []), str(row.n), str(row.diverged)]


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _loss(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:.1f}"


def _spread(spread: Spread | None, show: Callable[[float], str]) -> str:
    return "failed" if spread is None else f"{show(spread.median)} [{show(spread.q1)}, {show(spread.q3)}]"


def _interval(spread: Spread | None, show: Callable[[float], str]) -> str:
    return (
        "-"
        if spread is None or spread.low is None or spread.high is None
        else f"[{show(spread.low)}, {show(spread.high)}]"
    )


def _label(row: Row, room: int, with_schedule: bool = False) -> str:
    """Return name and rule, shortened to the room there is; the schedule in the rule's place where it has no column."""
    name = row.optimizer + MARKS["searched"] * row.searched
    if with_schedule:
        name = shortened(name, max(room // 2, room - len(row.schedule) - 1))
        return f"{name} {shortened(row.schedule, room - len(name) - 1)}"
    if row.rule is None or row.rule == row.optimizer or room - len(name) < 16:
        return shortened(name, room)
    return f"{name} {shortened(row.rule, room - len(name) - 1)}"


def _legend(rows: Sequence[Row], wide: bool) -> str:
    n, trained = max(row.n for row in rows), [row for row in rows if row.failure is None] or list(rows)
    least, most = min(row.rates for row in trained), max(row.rates for row in trained)
    extended = f" (up to {most} where the best lay on the edge)" if most > least else ""
    interval = " 95 %: bootstrap interval of the median." if wide else ""
    if n < LEAST_FOR_INTERVAL:
        interval = f" {n} seeds cannot support a 95 % interval of a median."
    seeds = trained[0].tune_seeds
    return (
        f"median [quartiles] over n = {n} fresh seeds at the best of {least} learning rates{extended}, chosen by validation "
        f"on {seeds} other seed{'s' * (seeds != 1)}; ordered by validation. div.: diverged, counted as the worst.{interval}"
    )


def _marks(rows: Sequence[Row]) -> list[str]:
    notes = []
    if any(row.edge for row in rows):
        notes.append(
            f"{MARKS['edge']} the best learning rate is the lowest or highest tried; a better one may lie beyond"
        )
    if any(row.searched for row in rows):
        notes.append(
            f"{MARKS['searched']} found by a search on this task, so these numbers are no evidence for other tasks"
        )
    return notes


def _failures(rows: Sequence[Row]) -> list[str]:
    return [f"{_full_name(row)} failed: {row.failure}" for row in rows if row.failure is not None]


def _full_name(row: Row) -> str:
    return row.optimizer if row.schedule == CONSTANT else f"{row.optimizer} under {row.schedule}"


def _full_names(rows: Sequence[Row], room: int) -> list[str]:
    """Return optimizer and schedule where a narrow table cuts them, so that no two schedules look alike."""
    names = []
    for position, row in enumerate(rows, 1):
        label = _label(row, room, with_schedule=True)
        if row.schedule not in label or (row.rule is None and row.optimizer not in label):
            names.append(f"{position} {shortened(row.optimizer, 40)} under {row.schedule}")
    return names


def _full_texts(rows: Sequence[Row], room: int) -> list[str]:
    """Return the rules that the table does not show in full."""
    texts: dict[str, str] = {}
    for position, row in enumerate(rows, 1):
        full = row.rule or row.optimizer
        if full not in _label(row, room):
            label = "" if row.rule in (None, row.optimizer) else row.optimizer + ": "
            texts.setdefault(row.optimizer, f"{position} {label}{full}")  # under several schedules the rule is the same
    return list(texts.values())
