"""The table of grafted pairs: magnitude down, direction across, and whether rows or columns are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuropt.evaluating.entries import Entry
from neuropt.evaluating.grafting import read_pair
from neuropt.statistics.ranks import ranks

PERMUTATIONS = 9_999
Table = list[list[float | None]]


def grafting_table(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Return medians of each task, mean ranks over tasks, and what their spread says; None unless all pairs of two or more are here."""
    pairs: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        if (pair := read_pair(entry.key[0])) is not None:
            pairs.setdefault((entry.task.name, *pair), entry)
    magnitudes = list(dict.fromkeys(m for _, m, _ in pairs))
    directions = list(dict.fromkeys(d for _, _, d in pairs))
    tasks = list(dict.fromkeys(task for task, _, _ in pairs))
    if min(len(magnitudes), len(directions)) < 2 or len(pairs) != len(tasks) * len(magnitudes) * len(directions):
        return None
    tables: dict[str, Table] = {}
    mean = np.zeros((len(magnitudes), len(directions)))
    for task in tasks:
        cells = [[pairs[task, m, d] for d in directions] for m in magnitudes]
        tables[task] = [[None if e.failed else e.measure.merit(e.median_merit) for e in row] for row in cells]
        placed = ranks([-e.median_merit for row in cells for e in row])
        mean += np.array(placed).reshape(mean.shape) / len(tasks)
    rows, columns = explained(mean)
    p = _permutation_p(mean)
    return {
        "magnitudes": magnitudes,
        "directions": directions,
        "tables": tables,
        "mean_ranks": mean.tolist(),
        "spread_rows": rows,
        "spread_columns": columns,
        "p": p,
        "words": _words(rows, columns, p, len(tasks), mean.size),
    }


def explained(table: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Return the shares of the variance of a table that its rows' means and its columns' means explain.

    >>> explained(np.array([[1.0, 1.0], [3.0, 3.0]]))
    (1.0, 0.0)
    """
    total = float(((table - table.mean()) ** 2).sum())
    if total == 0.0:
        return 0.0, 0.0
    rows = table.shape[1] * float(((table.mean(1) - table.mean()) ** 2).sum())
    columns = table.shape[0] * float(((table.mean(0) - table.mean()) ** 2).sum())
    return rows / total, columns / total


def _permutation_p(table: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return how often cells that are dealt out anew explain as much by their rows: one-sided."""
    generator, observed = np.random.default_rng(0), explained(table)[0]
    dealt = generator.permuted(np.broadcast_to(table.ravel(), (PERMUTATIONS, table.size)), axis=1)
    means = dealt.reshape(PERMUTATIONS, *table.shape).mean(2)
    total = float(((table - table.mean()) ** 2).sum())
    if total == 0.0:
        return 1.0
    shares = table.shape[1] * ((means - table.mean()) ** 2).sum(1) / total
    return (1 + int((shares >= observed - 1e-12).sum())) / (1 + PERMUTATIONS)


def _words(rows: float, columns: float, p: float, tasks: int, cells: int) -> str:
    said = f"n = {tasks} task{'s' * (tasks != 1)}, {cells} pairs: the magnitude explains {rows:.0%} of the variance of mean ranks, "
    said += f"the direction {columns:.0%}"
    if p > 0.05:
        return f"{said}; rows do not cluster more than chance would have it (p = {p:.3g})."
    if rows > columns:
        return f"{said}; rows cluster by magnitude (p = {p:.3g})."
    return f"{said}; rows differ (p = {p:.3g}), but columns, the directions, differ more."
