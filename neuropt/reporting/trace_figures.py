"""What updates are like along training: how long they are, and how far they follow the gradient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from statistics import median

from neuropt.reporting.blocks import Figure, Layout, Line, Trace, View
from neuropt.reporting.evaluation_figures import SHOWN, entries_of, style
from neuropt.reporting.evaluation_records import Entry, EvaluationData, Step
from neuropt.reporting.measures import counted, spans_decades

HOW = (
    "Each entry was trained once more at its best trial, one child at a time; batch, weights and draws are those of the report. "
    "A line ends where its child diverged."
)


def norms_figure(data: EvaluationData) -> Figure | None:
    """Return the length of updates for each unit of learning rate."""
    return _figure(
        data,
        name="update-norms",
        title="How long updates are",
        sentence="Length of the update of all weights together, as it was applied, for each unit of learning rate: |w before "
        "− w after| / lr. The step itself is lr times as long, so that optimizers with other lengths need other learning rates.",
        column="update_norm",
        value=lambda step: step.update_norm,
        axis="update norm",
    )


def cosines_figure(data: EvaluationData) -> Figure | None:
    """Return the cosines between updates and gradients."""
    return _figure(
        data,
        name="update-cosines",
        title="How far updates follow the gradient",
        sentence="Cosine between the update, as it was applied, and the downhill direction of its batch's gradient, over all "
        "weights together: 1 is plain descent, 0 is across, and below 0 a step goes uphill on its batch.",
        column="cosine",
        value=lambda step: step.cosine,
        axis="cosine with −gradient",
    )


def _figure(
    data: EvaluationData,
    name: str,
    title: str,
    sentence: str,
    column: str,
    value: Callable[[Step], float | None],
    axis: str,
) -> Figure | None:
    found = _medians(data, value)
    views, rows = [], list[Line]()
    for task in data.tasks:
        ordered = [entry for entry in entries_of(data, task) if (task, entry) in found]
        if not ordered:
            continue
        lines = {entry: found[task, entry] for entry in ordered}
        traces = [_trace(data, entry, lines[entry], axis, i) for i, entry in enumerate(ordered)]
        views.append(
            View(traces, _layout(axis, column, [v for line in lines.values() for v, _ in line.values()]), (task,))
        )
        for entry, line in lines.items():
            head: Line = {"task": task, "optimizer": entry[0], "schedule": entry[1]}
            rows += [head | {"step": step, column: middle, "n": n} for step, (middle, n) in line.items()]
    if not views:
        return None
    n = max(row["n"] for row in rows)
    return Figure(
        name=name,
        title=title,
        sentence=f"{sentence} n = {counted(n, 'report seed')}{', of which this is the median' * (n > 1)}. {HOW}",
        views=views,
        rows=rows,
        pickers=("Task",),
        height=420,
    )


Medians = dict[int, tuple[float, int]]
"""Step -> median over seeds, and how many they are."""


def _medians(data: EvaluationData, value: Callable[[Step], float | None]) -> dict[tuple[str, Entry], Medians]:
    values: defaultdict[tuple[str, Entry], defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for step in data.traces or ():
        if (known := value(step)) is not None:
            values[step.task, (step.optimizer, step.schedule)][step.step].append(known)
    return {key: {step: (median(line[step]), len(line[step])) for step in sorted(line)} for key, line in values.items()}


def _trace(data: EvaluationData, entry: Entry, line: Medians, axis: str, place: int) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "marker": {"size": 4},
        "name": data.label(entry),
        "x": list(line),
        "y": [middle for middle, _ in line.values()],
        "line": {"width": 2, **style(data, entry)},
        "hovertemplate": "%{y:.4g} after %{x} steps",
        **({} if place < SHOWN else {"visible": "legendonly"}),
    }


def _layout(axis: str, column: str, values: list[float]) -> Layout:
    y: Layout = {"title": axis}
    if column == "cosine":
        y |= {"range": [min(-0.05, *values, 0.0) - 0.02, 1.03]}
    elif spans_decades(values):
        y |= {"type": "log"}
    return {"xaxis": {"title": "steps done"}, "yaxis": y}
