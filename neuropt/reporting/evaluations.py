"""The tables of an evaluation in the terminal: one a task, readable from 80 columns on, with what each number rests on below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuropt.evaluating.entries import label
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.statistics import LEAST_FOR_INTERVAL
from neuropt.reporting.tables import shortened

WIDE = 112
"""Columns from which on test, target and cost are shown."""
NAME = 1
MARKS = {"edge": "^", "task": "*", "family": "+"}
Json = Mapping[str, Any]


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print a table a task, and what may be claimed."""
    summary = evaluation.summary
    for name, task in summary["tasks"].items():
        rows = [row for row in summary["rows"] if row["task"] == name]
        _print_task(name, task, rows, summary, console)
        console.print()
    if (grafting := summary["grafting"]) is not None:
        _print_grafting(grafting, console)
    for sentence in summary["claims"]:
        console.print(Text(sentence), soft_wrap=not console.is_terminal)


def _print_task(name: str, task: Json, rows: Sequence[Json], summary: Json, console: Console) -> None:
    wide = console.width >= WIDE
    gap = 2 if wide else 1
    show = _percent if task["metric"] == "accuracy" else _loss
    header = ["", "optimizer", "lr", f"{task['metric']}{' %' * (show is _percent)} [95 %]", "default lr"]
    header += ["test", "target", "us/step", "B/par."] if wide else []
    header += ["ahead", "p", "n", "div."]
    cells = [_cells(row, show, wide) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    room = max(12, console.width - (sum(widths) - widths[NAME]) - gap * len(header))
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column in header:
        table.add_column(column, justify="left" if column == "optimizer" else "right", no_wrap=True)
    for line in cells:
        line[NAME] = shortened(line[NAME], room)
        table.add_row(*map(Text, line))  # a Text, so that brackets are no markup
    console.print(Text(f"{name} ({task['family']}), {task['steps']} steps", style="bold"))
    console.print(table)
    for note in [
        _legend(task, rows, summary, wide),
        *_marks(rows),
        *_failures(rows),
        *_full_texts(rows, summary, room),
    ]:
        console.print(Text(note), soft_wrap=not console.is_terminal)


def _cells(row: Json, show: Callable[[float], str], wide: bool) -> list[str]:
    rate = "-" if row["learning_rate"] is None else f"{row['learning_rate']:.3g}{MARKS['edge'] * row['edge']}"
    default, against, target, cost = (row[name] for name in ("default", "against", "target", "cost"))
    cells = [
        f"{row['rank']:g}",
        label((row["optimizer"], row["schedule"])) + MARKS.get(row["seen"] or "", ""),
        rate,
        "failed" if row["median"] is None else show(row["median"]) + _interval(row["low"], row["high"], show),
        "-" if default is None else show(default["median"]),
    ]
    if wide:
        cells += [
            "-" if row["test_median"] is None else show(row["test_median"]),
            "-" if target is None else f"{target['reached']}/{target['n']}{_steps(target['median_steps'])}",
            "-" if cost is None else f"{cost['us_per_step']:.0f}",
            "-" if cost is None else f"{cost['state_bytes_per_parameter']:.3g}",
        ]
    ahead = ["-", "-"]
    if against is not None:
        ahead = [f"{against['improvement']:.2f}", f"{against['p_holm']:.2g}"]
    return [*cells, *ahead, str(row["n"]), str(row["diverged"])]


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _loss(value: float) -> str:
    return f"{value:.3g}"


def _interval(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    return "" if low is None or high is None else f" [{show(low)}, {show(high)}]"


def _steps(steps: float | None) -> str:
    return "" if steps is None else f" {steps:g}"


def _legend(task: Json, rows: Sequence[Json], summary: Json, wide: bool) -> str:
    """Say what the numbers are, with every n, and the budget."""
    n = max(row["n"] for row in rows)
    protocol = summary["protocol"]
    counts = sorted({row["trials"] for row in rows if row["failure"] is None})
    interval = (
        "95 %: bootstrap interval of the median"
        if n >= LEAST_FOR_INTERVAL
        else (f"{n} seeds cannot support a 95 % interval of a median")
    )
    said = (
        f"validation median over n = {n} fresh seeds; {interval}. Budget of tuning: {' or '.join(map(str, counts)) or 0} trials of "
        f"{len(protocol['tune_seeds'])} other seeds each. default lr: the same seeds, untuned. ahead: probability of improvement on "
        f"{protocol['reference']}{_itself(rows)}, p: signed ranks, Holm over tasks. div.: diverged, counted as the worst."
    )
    if wide and task["target"] is not None:
        said += f" target: seeds that came to {task['metric']} {task['target']:.4g} ({task['target_from']}), and their median step."
    return said


def _itself(rows: Sequence[Json]) -> str:
    """Say what the reference under other schedules is compared with."""
    for row in rows:
        against = row["against"]
        if against is not None and against["reference"] == row["optimizer"]:
            return f" (of {row['optimizer']} itself: on it under {against['reference_schedule']})"
    return ""


def _marks(rows: Sequence[Json]) -> list[str]:
    notes = {
        "edge": "the best learning rate is the lowest or highest tried; a better one may lie beyond",
        "task": "found by a search on this task, so these numbers are no evidence",
        "family": "found by a search on a task of this family, so these numbers are no evidence",
    }
    shown = {name for row in rows for name in (row["seen"], "edge" if row["edge"] else None) if name}
    return [f"{MARKS[name]} {note}" for name, note in notes.items() if name in shown]


def _failures(rows: Sequence[Json]) -> list[str]:
    return [f"{row['optimizer']} failed: {row['failure']}" for row in rows if row["failure"] is not None]


def _full_texts(rows: Sequence[Json], summary: Json, room: int) -> list[str]:
    """Return names that the table does not show in full, and rules that a name does not say."""
    texts: dict[str, str] = {}
    for row in rows:
        name, rule = row["optimizer"], summary["optimizers"][row["optimizer"]]["rule"]
        named = label((name, row["schedule"]))
        if rule is not None and rule != name and "(" not in name[:12]:
            texts.setdefault(name, f"{name}: {rule}")
        elif shortened(named, room) != named:
            texts.setdefault(named, f"{row['rank']:g} {named}")
    return list(texts.values())


def _print_grafting(grafting: Json, console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("magnitude \\ direction", no_wrap=True)
    for direction in grafting["directions"]:
        table.add_column(direction, justify="right", no_wrap=True)
    for magnitude, ranks in zip(grafting["magnitudes"], grafting["mean_ranks"], strict=True):
        table.add_row(magnitude, *(f"{rank:.1f}" for rank in ranks))
    console.print(Text("mean rank of each pair over the tasks, 1 for the best", style="bold"))
    console.print(table)
    console.print(Text(grafting["words"]), soft_wrap=not console.is_terminal)
    console.print()
