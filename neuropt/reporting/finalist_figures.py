"""The figures of what a search found: finalists beside tuned built-ins, and how much each depends on its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from neuropt.evaluating.row import WORST_ACCURACY, Row, value
from neuropt.evaluating.statistics import Spread
from neuropt.reporting.blocks import Figure, Layout, Line, Trace, View
from neuropt.reporting.measures import ACCURACY, Measure, counted, spans_decades
from neuropt.reporting.run_data import RunData, one_line
from neuropt.training.children import Child

CURVES = 8
"""Learning-rate curves in a figure, at most: as many as the page has colours."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon")


def finalists_figure(rows: Sequence[Row], measure: Measure) -> Figure | None:
    """Return medians with intervals, found rules in colour and built-ins in grey, the best first."""
    shown = [row for row in rows if row.validation is not None]
    if not shown:
        return None
    supported = all(row.validation is not None and row.validation.low is not None for row in shown)
    traces = []
    for split in ("validation", "test"):
        for found in (True, False):
            mine = [(i, row) for i, row in enumerate(shown) if row.searched is found]
            if mine and any(_of(row, split) is not None for _, row in mine):
                traces.append(_dots(mine, split, found, measure))
    ends = [end for trace in traces for end in (*trace["x"], *_lower_ends(trace))]
    layout: Layout = {
        "xaxis": {"title": measure.axis} | _scale(measure, ends),
        "yaxis": {
            "tickvals": list(range(len(shown))),
            "ticktext": [row.optimizer for row in shown],
            "range": [len(shown) - 0.4, -0.6],
            "ticks": "",
        },
    }
    bars = (
        "95 % bootstrap intervals of the median" if supported else "quartiles, since so few seeds support no interval"
    )
    return Figure(
        name="finalists",
        title="Finalists beside tuned built-ins",
        sentence=f"Median {measure.name} over n = {max(row.n for row in shown)} fresh seeds, ordered by validation; bars are "
        f"{bars}. Every row "
        f"was tuned at {min(row.rates for row in shown)} or more learning rates on {counted(shown[0].tune_seeds, 'other seed')}, chosen "
        "by validation.",
        views=(View(traces, layout),),
        rows=list(_finalist_rows(shown)),
        height=120 + 26 * len(shown),
    )


def _lower_ends(trace: Trace) -> list[float]:
    return [x - down for x, down in zip(trace["x"], trace["error_x"]["arrayminus"], strict=True)]


def _scale(measure: Measure, values: Sequence[float]) -> Layout:
    """Return a logarithmic axis where losses span decades."""
    return {"type": "log", "exponentformat": "power"} if measure != ACCURACY and spans_decades(values) else {}


def _of(row: Row, split: str) -> Spread | None:
    return row.validation if split == "validation" else row.test


def _dots(rows: Sequence[tuple[int, Row]], split: str, found: bool, measure: Measure) -> Trace:
    colour, points = ("@2" if found else "@ink/0.7"), [(i, row, _of(row, split)) for i, row in rows]
    there = [(i, row, spread) for i, row, spread in points if spread is not None]
    medians = [spread.median * measure.factor for _, _, spread in there]
    ends = [
        (s.q1, s.q3) if s.low is None or s.high is None else (s.low, s.high) for s in (spread for _, _, spread in there)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{'found' if found else 'built-in'}, {split}",
        "x": medians,
        "y": [i + (0.0 if split == "validation" else 0.24) for i, _, _ in there],
        "text": [row.optimizer for _, row, _ in there],
        "marker": {
            "color": colour,
            "size": 9 if split == "validation" else 7,
            "symbol": "circle" if split == "validation" else "circle-open",
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [high * measure.factor - m for (_, high), m in zip(ends, medians, strict=True)],
            "arrayminus": [m - low * measure.factor for (low, _), m in zip(ends, medians, strict=True)],
            "thickness": 1.6 if split == "validation" else 1,
            "width": 0,
            "color": colour,
        },
        "hovertemplate": f"%{{text}}, {split}<br>median %{{x:.4g}}<extra></extra>",
    }


def _finalist_rows(rows: Sequence[Row]) -> Iterator[Line]:
    for position, row in enumerate(rows, 1):
        for split in ("validation", "test"):
            if (s := _of(row, split)) is not None:
                head: Line = {
                    "position": position,
                    "optimizer": row.optimizer,
                    "rule": row.rule,
                    "found": int(row.searched),
                }
                spread: Line = {"n": row.n, "median": s.median, "q1": s.q1, "q3": s.q3, "low": s.low, "high": s.high}
                yield head | {"split": split, "learning_rate": row.learning_rate, "diverged": row.diverged} | spread


def rates_figure(data: RunData, measure: Measure) -> Figure | None:
    """Return the validation metric of the best rules over their learning rates.

    Where finalists were tuned, these are the children of the tuning, all trained to the end; else those of the search.
    """
    curves, tuned = _curves(data), bool(data.tuning)
    if not curves:
        return None
    worst = {"accuracy": WORST_ACCURACY, "loss": math.inf}[data.metric]
    rows = [line for name, rates in curves.items() for line in _rate_rows(name, rates, data.metric, worst)]
    traces = [trace for i, name in enumerate(curves) for trace in _rate_traces(i, name, rows, measure)]
    heights = [y for trace in traces for y in trace["y"] if y is not None]
    layout: Layout = {
        "xaxis": {
            "title": "learning rate / the best of the curve",
            "type": "log",
            "dtick": 1,
            "exponentformat": "power",
        },
        "yaxis": {"title": f"validation {measure.axis}"} | _scale(measure, heights),
    }
    seeds = max(len(children) for rates in curves.values() for children in rates.values())
    of = (
        f"means over n = {counted(seeds, 'tuning seed')}, every child trained to the end"
        if tuned
        else f"n = {counted(seeds, 'seed')} of the search; learning rates that were stopped early by halving are left out"
    )
    return Figure(
        name="learning-rates",
        title="How much the learning rate matters",
        sentence=f"Validation {measure.name} of {counted(len(curves), 'curve')} at each learning rate, as a multiple of the "
        f"curve's best: {of}. "
        "Crosses are learning rates at which a child diverged, drawn at the lower edge. The wider a plateau, the less tuning a rule needs.",
        views=(View(traces, layout),),
        rows=rows,
        height=430,
    )


def _curves(data: RunData) -> dict[str, Mapping[float, Sequence[Child]]]:
    """Return name -> learning rate -> children: found rules first, then the first built-ins of the table."""
    if data.tuning:
        found = [row for row in data.finalists if row.searched][: CURVES - 3]
        others = [row for row in data.finalists if not row.searched][:3]
        if data.finalists:
            named = {row.optimizer: data.tuning.get(_work_name(row, data)) for row in [*found, *others]}
            return {name: rates for name, rates in named.items() if rates}
    curves: dict[str, Mapping[float, Sequence[Child]]] = {}
    for rule in data.best[:CURVES]:
        ended = [child for child in data.children[rule.proposal] if child.status != "stopped"]
        rates = sorted({child.learning_rate for child in ended})
        if rates:
            grouped = {rate: [child for child in ended if child.learning_rate == rate] for rate in rates}
            curves[f"{data.name}:{rule.position}"] = grouped
    return curves


def _work_name(row: Row, data: RunData) -> str:
    """Return how the works of the finalists call what a row is: its rule, or the name of a class that is none."""
    if row.rule is not None:
        return one_line(row.rule)
    from search_space import zoo

    if row.optimizer in data.tuning or row.optimizer not in zoo():
        return row.optimizer
    return one_line(zoo()[row.optimizer].text)


def _rate_rows(name: str, rates: Mapping[float, Sequence[Child]], metric: str, worst: float) -> Iterator[Line]:
    means = {rate: fmean(value(child, metric, worst) for child in children) for rate, children in rates.items()}
    best = (max if metric == "accuracy" else min)(means, key=lambda rate: means[rate])
    for rate, children in rates.items():
        diverged = sum(child.status == "diverged" for child in children)
        mean = means[rate] if math.isfinite(means[rate]) else None
        line: Line = {"curve": name, "learning_rate": rate, "multiple_of_best": rate / best, "n": len(children)}
        yield line | {"diverged": diverged, f"mean_{metric}": mean}


def _rate_traces(i: int, name: str, rows: Sequence[Line], measure: Measure) -> Iterator[Trace]:
    mine = [row for row in rows if row["curve"] == name]
    metric = next(column for column in mine[0] if column.startswith("mean_"))
    whole = [row for row in mine if row["diverged"] == 0 or row[metric] is not None]
    colour = f"@{i % 8 + 1}"
    yield {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "x": [row["multiple_of_best"] for row in whole],
        "y": [measure.scaled(row[metric]) for row in whole],
        "text": [f"{row['learning_rate']:.3g}" for row in whole],
        "line": {"color": colour, "width": 1.8, "dash": DASHES[i % 8]},
        "marker": {"size": 7, "symbol": SYMBOLS[i % 8]},
        "hovertemplate": "%{y:.4g} at learning rate %{text}",
    }
    lost = [row for row in mine if row["diverged"]]
    if lost:
        lowest = [row[metric] * measure.factor for row in rows if row[metric] is not None]
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "legendgroup": name,
            "showlegend": False,
            "x": [row["multiple_of_best"] for row in lost],
            "y": [min(lowest, default=0.0)] * len(lost),
            "text": [f"{row['diverged']} of {row['n']} diverged" for row in lost],
            "marker": {"size": 9, "symbol": "x-thin", "line": {"width": 2, "color": colour}},
            "hovertemplate": "%{text}",
        }
