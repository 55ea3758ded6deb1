"""What tuning shows: how much the learning rate matters to an entry, and what a budget of trials buys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from neuropt.reporting.blocks import Figure, Line, Trace, View
from neuropt.reporting.evaluation_figures import SHOWN, entries_of, measure_of, metric_axis, style
from neuropt.reporting.evaluation_records import ChildRow, Entry, EvaluationData, TaskFacts

BASIN = 0.01
"""A learning rate is in the basin where its value is within this share of the best."""

Sweep = Mapping[float, tuple[float | None, int, int]]
"""Learning rate -> mean at the best other hyperparameters, diverged children there, children there."""


def sweep_of(children: Sequence[ChildRow], task: TaskFacts) -> Sweep:
    """Return an entry's tuning by learning rate; a diverged child counts as the worst."""
    trials: defaultdict[tuple[float, int | None], list[ChildRow]] = defaultdict(list)
    for child in children:
        trials[child.learning_rate, child.trial].append(child)
    found: dict[float, tuple[float | None, int, int]] = {}
    for (rate, _), same in sorted(trials.items(), key=lambda item: item[0][0]):
        values = [task.worst if child.diverged else child.final for child in same]
        known = [value for value in values if value is not None]
        mean = fmean(known) if known and len(known) == len(values) else None
        one = mean, sum(child.diverged for child in same), len(same)
        if rate not in found or _ahead(one[0], found[rate][0], task):
            found[rate] = one
    return found


def _ahead(one: float | None, other: float | None, task: TaskFacts) -> bool:
    if one is None or other is None:
        return other is None and one is not None
    return one > other if task.higher_is_better else one < other


def basin(sweep: Sweep, task: TaskFacts) -> tuple[float, float] | None:
    """Return the lowest and the highest learning rate of the unbroken stretch around the best that is within 1 % of it.

    >>> digits = TaskFacts("digits", "vision", "accuracy", True, 100, 0.0)
    >>> basin({0.01: (0.90, 0, 3), 0.03: (0.955, 0, 3), 0.1: (0.96, 0, 3), 0.3: (0.2, 0, 3)}, digits)
    (0.03, 0.1)
    """
    rates = sorted(sweep)
    values = [sweep[rate][0] for rate in rates]
    best = None
    for i, value in enumerate(values):
        if best is None or _ahead(value, values[best], task):
            best = i
    if best is None or (top := values[best]) is None:
        return None
    inside = [value is not None and abs(value - top) <= BASIN * abs(top) for value in values]
    low, high = best, best
    while low > 0 and inside[low - 1]:
        low -= 1
    while high < len(rates) - 1 and inside[high + 1]:
        high += 1
    return rates[low], rates[high]


def sweeps(data: EvaluationData) -> dict[tuple[str, Entry], Sweep]:
    """Return the tuning of every entry by learning rate."""
    grouped: defaultdict[tuple[str, Entry], list[ChildRow]] = defaultdict(list)
    for child in data.children:
        if child.phase == "tune" and child.task in data.tasks:
            grouped[child.task, (child.optimizer, child.schedule)].append(child)
    return {key: sweep_of(children, data.tasks[key[0]]) for key, children in grouped.items()}


def rates_figure(data: EvaluationData) -> Figure | None:
    """Return the validation metric of tuning over learning rates, with marks where children diverged."""
    found = sweeps(data)
    rows: list[Line] = []
    views = []
    for name, task in data.tasks.items():
        lines = [(e, found[name, e]) for e in entries_of(data, name) if (name, e) in found]
        if not lines:
            continue
        values = [v for _, sweep in lines for v, _, _ in sweep.values() if v is not None]
        floor = (min if task.higher_is_better else max)(values, default=0.0)
        traces = [t for i, (e, sweep) in enumerate(lines) for t in _sweep_traces(data, task, e, sweep, i, floor)]
        y = metric_axis(task, values)
        x = {"title": "learning rate", "type": "log", "dtick": 1, "exponentformat": "power"}
        views.append(View(traces, {"xaxis": x, "yaxis": y}, (name,)))
        for e, sweep in lines:
            around = basin(sweep, task)
            for rate, (mean, diverged, n) in sweep.items():
                inside = around is not None and around[0] <= rate <= around[1]
                head: Line = {"task": name, "optimizer": e[0], "schedule": e[1], "learning_rate": rate}
                rows.append(head | {"mean": mean, "diverged": diverged, "n": n, "in_basin": int(inside)})
    if not views:
        return None
    n = max(row["n"] for row in rows)
    return Figure(
        name="learning-rates",
        title="How much the learning rate matters",
        sentence=f"Validation metric of the tuning at each learning rate, mean over n = {n} tuning seeds, at the best of the "
        "other hyperparameters tried "
        "there. Thick parts are the basin, the unbroken stretch within 1 % of the best. Crosses are learning rates at which a child "
        "diverged, which counts as the worst.",
        views=views,
        rows=rows,
        pickers=("Task",),
        height=440,
    )


def _sweep_traces(
    data: EvaluationData, task: TaskFacts, entry: Entry, sweep: Sweep, place: int, floor: float
) -> Iterator[Trace]:
    factor, look, label = measure_of(task).factor, style(data, entry), data.label(entry)
    hidden = {"legendgroup": label} | ({} if place < SHOWN else {"visible": "legendonly"})
    whole = [(rate, mean * factor) for rate, (mean, _, _) in sweep.items() if mean is not None]
    line = {"type": "scatter", "x": [rate for rate, _ in whole], "y": [mean for _, mean in whole], **hidden}
    hover = {"hovertemplate": "%{y:.4g} at learning rate %{x:.3g}"}
    yield {
        **line,
        "mode": "lines+markers",
        "name": label,
        "line": {"width": 1.6, **look},
        "marker": {"size": 5},
        **hover,
    }
    around = basin(sweep, task)
    if around is not None:
        inside = [(rate, mean) for rate, mean in whole if around[0] <= rate <= around[1]]
        yield {
            "type": "scatter",
            "mode": "lines" if len(inside) > 1 else "markers",
            "x": [rate for rate, _ in inside],
            "y": [mean for _, mean in inside],
            "line": {"width": 5, "color": look["color"]},
            "marker": {"size": 10, "color": look["color"]},
            "opacity": 0.55,
            "hoverinfo": "skip",
            "showlegend": False,
            **hidden,
        }
    lost = [(rate, diverged, n) for rate, (_, diverged, n) in sweep.items() if diverged]
    if lost:
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": label,
            "showlegend": False,
            "x": [rate for rate, _, _ in lost],
            "y": [floor * factor] * len(lost),
            "text": [f"{diverged} of {n} diverged" for _, diverged, n in lost],
            "marker": {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": look["color"]}},
            "hovertemplate": "%{text} at learning rate %{x:.3g}",
            **hidden,
        }


def budget_figure(data: EvaluationData) -> Figure | None:
    """Return the expected best of k trials of tuning."""
    views = []
    rows: list[Line] = []
    for name, task in data.tasks.items():
        lines = {entry: (k, value) for of, entry, k, value in data.best_of_k if of == name}
        ordered = [entry for entry in entries_of(data, name) if entry in lines]
        if not ordered:
            continue
        factor, values = measure_of(task).factor, [v for e in ordered for v in lines[e][1] if v is not None]
        traces: list[Trace] = [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": data.label(entry),
                "x": list(lines[entry][0]),
                "y": [None if value is None else value * factor for value in lines[entry][1]],
                "line": {"width": 1.8, **style(data, entry)},
                "marker": {"size": 4},
                "hovertemplate": "%{y:.4g} with %{x} trials",
                **({} if i < SHOWN else {"visible": "legendonly"}),
            }
            for i, entry in enumerate(ordered)
        ]
        y = metric_axis(task, values)
        views.append(View(traces, {"xaxis": {"title": "trials of tuning", "tickformat": "d"}, "yaxis": y}, (name,)))
        for entry in ordered:
            head: Line = {"task": name, "optimizer": entry[0], "schedule": entry[1]}
            rows += [head | {"trials": int(k), "expected_best": v} for k, v in zip(*lines[entry], strict=False)]
    if not views:
        return None
    trials = max(row["trials"] for row in rows)
    return Figure(
        name="budget",
        title="What a budget of tuning buys",
        sentence=f"Expected best validation metric of k trials, drawn without replacement from the n = {trials} trials that "
        "every entry was given. An "
        "optimizer whose curve is flat needs little tuning.",
        views=views,
        rows=rows,
        pickers=("Task",),
        height=400,
    )
