"""Learning curves of an evaluation, task by task, and how its figures call and colour an entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from neuropt.reporting.blocks import Figure, Layout, Line, Trace, View
from neuropt.reporting.evaluation_records import Entry, EvaluationData, Point, TaskFacts
from neuropt.reporting.measures import ACCURACY, LOSS, Measure, spans_decades

SHOWN = 8
"""Curves that are shown at first in a view, the best ranks; the others wait in the legend."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def measure_of(task: TaskFacts) -> Measure:
    """Return how a task's metric is shown."""
    if task.metric == "accuracy":
        return ACCURACY
    return LOSS if task.metric == "loss" else Measure(task.metric.replace("_", " "))


def metric_axis(task: TaskFacts, values: Sequence[float]) -> dict[str, str]:
    """Return the axis of a task's validation metric; it is logarithmic for losses that span decades."""
    is_log = not task.higher_is_better and spans_decades(values)
    return {"title": f"validation {measure_of(task).axis}"} | ({"type": "log"} if is_log else {})


def entries_of(data: EvaluationData, task: str) -> list[Entry]:
    """Return the entries of a task, the best rank first: the order of the rows."""
    return [(row.optimizer, row.schedule) for row in data.rows if row.task == task]


def style(data: EvaluationData, entry: Entry) -> dict[str, str]:
    """Return colour and dash of an entry, the same in every figure."""
    everyone = list(dict.fromkeys((row.optimizer, row.schedule) for row in data.rows))
    i = everyone.index(entry) if entry in everyone else 0
    return {"color": f"@{i % 8 + 1}", "dash": DASHES[i // 8 % len(DASHES)]}


def curves_figure(data: EvaluationData) -> Figure | None:
    """Return learning curves over steps and over seconds of training, medians and quartiles over report seeds."""
    found: defaultdict[tuple[str, Entry], list[Point]] = defaultdict(list)
    for point in data.curves:
        if point.phase == "report" and point.task in data.tasks:
            found[point.task, (point.optimizer, point.schedule)].append(point)
    if not found:
        return None
    rows: list[Line] = []
    views = []
    for name, task in data.tasks.items():
        lines = [(e, _band(found[name, e], task)) for e in entries_of(data, name) if (name, e) in found]
        if not lines:
            continue
        seconds = {(r.optimizer, r.schedule): r.cost.get("seconds_per_step") for r in data.rows if r.task == name}
        for axis in ("steps", "seconds"):
            traces = [
                t for i, (e, band) in enumerate(lines) for t in _band_traces(data, task, e, band, axis, seconds[e], i)
            ]
            values = [v for _, band in lines for v in band[2].tolist()]
            views.append(View(traces, _curve_layout(task, axis, values), (name, axis)))
        for e, band in lines:
            rows += _band_rows(name, e, band, seconds[e])
    n = max(row["n"] for row in rows)
    return Figure(
        name="curves",
        title="Learning curves",
        sentence=f"Validation metric along training at the tuned learning rate: medians over n = {n} report seeds, bands are "
        "quartiles. A child that "
        "diverged counts as the task's worst value from there on. Seconds are an entry's median time of a training step, "
        "evaluation left out. "
        f"The {SHOWN} best ranks are shown at first; the legend switches the others.",
        views=views,
        rows=rows,
        pickers=("Task", "Over"),
        height=460,
    )


Band = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]
"""Steps; lower quartile, median, upper quartile; seeds."""


def _band(points: Sequence[Point], task: TaskFacts) -> Band:
    seeds = sorted({point.seed for point in points})
    steps = sorted({point.step for point in points})
    values = np.full((len(seeds), len(steps)), np.nan if task.worst is None else task.worst)
    for point in points:
        if point.value is not None:
            values[seeds.index(point.seed), steps.index(point.step)] = point.value
    q1, median, q3 = np.nanquantile(values, (0.25, 0.5, 0.75), axis=0)
    return np.array(steps), q1, median, q3, len(seeds)


def _band_traces(
    data: EvaluationData, task: TaskFacts, entry: Entry, band: Band, axis: str, seconds: float | None, place: int
) -> Iterator[Trace]:
    if axis == "seconds" and seconds is None:
        return
    steps, q1, median, q3, _ = band
    x = (steps * (seconds if axis == "seconds" and seconds is not None else 1)).tolist()
    factor, look = measure_of(task).factor, style(data, entry)
    hidden = {} if place < SHOWN else {"visible": "legendonly"}
    label = data.label(entry)
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "x": x}
    yield {**edge, "y": (q1 * factor).tolist(), "legendgroup": label, **hidden}
    fill = {"fill": "tonexty", "fillcolor": f"{look['color']}/0.15"}
    yield {**edge, **fill, "y": (q3 * factor).tolist(), "legendgroup": label, **hidden}
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "legendgroup": label,
        "x": x,
        "y": (median * factor).tolist(),
        "line": {"width": 2, **look},
        "hovertemplate": "%{y:.4g} at %{x:.4g}",
        **hidden,
    }


def _curve_layout(task: TaskFacts, axis: str, values: Sequence[float]) -> Layout:
    y = metric_axis(task, values)
    return {"xaxis": {"title": "steps" if axis == "steps" else "seconds of training"}, "yaxis": y}


def _band_rows(task: str, entry: Entry, band: Band, seconds: float | None) -> Iterator[Line]:
    steps, *quartiles, n = band
    for step, q1, median, q3 in zip(steps.tolist(), *(q.tolist() for q in quartiles), strict=True):
        head: Line = {"task": task, "optimizer": entry[0], "schedule": entry[1], "step": step}
        yield head | {
            "seconds": None if seconds is None else step * seconds,
            "median": median,
            "q1": q1,
            "q3": q3,
            "n": n,
        }
