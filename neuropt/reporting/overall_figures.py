"""The figures of an evaluation over all its tasks: ranks, performance profile, schedules and grafts."""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.reporting.blocks import Figure, Layout, Trace, View
from neuropt.reporting.evaluation_figures import SHOWN, measure_of, style
from neuropt.reporting.evaluation_records import EvaluationData
from neuropt.reporting.measures import counted


def ranks_figure(data: EvaluationData) -> Figure | None:
    """Return mean ranks with half the critical difference to both sides, the best first."""
    ordered = sorted(data.ranks, key=lambda rank: rank[1])
    if not ordered:
        return None
    reach = data.critical_difference
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [rank for _, rank, _ in ordered],
        "y": list(range(len(ordered))),
        "text": [data.label(entry) for entry, _, _ in ordered],
        "marker": {"size": 9, "color": "@1"},
        "hovertemplate": "%{text}<br>mean rank %{x:.3g}<extra></extra>",
    }
    if reach is not None:
        trace["error_x"] = {"type": "constant", "value": reach / 2, "thickness": 2, "width": 0, "color": "@1/0.55"}
    layout: Layout = {
        "xaxis": {"title": "mean rank, 1 is best", "range": [0.6, len(ordered) + 0.4], "tickformat": ".3~g"},
        "yaxis": {
            "tickvals": list(range(len(ordered))),
            "ticktext": [data.label(entry) for entry, _, _ in ordered],
            "range": [len(ordered) - 0.4, -0.6],
            "ticks": "",
        },
    }
    tasks = max(n for _, _, n in ordered)
    bars = (
        f"Bars reach half the critical difference ({reach:.3g}) to both sides: where two bars overlap, no difference is shown."
        if reach is not None
        else "There is no critical difference, of more than 40 entries or where all are alike, so no difference is shown."
    )
    return Figure(
        name="ranks",
        title="Mean ranks",
        sentence=f"Mean rank over n = {counted(tasks, 'task')}, by the median on each; failures rank last. {bars} "
        f"{data.rank_words}".strip(),
        views=(View([trace], layout),),
        rows=[
            {"optimizer": e[0], "schedule": e[1], "mean_rank": rank, "tasks": n, "critical_difference": reach}
            for e, rank, n in ordered
        ],
        height=110 + 28 * len(ordered),
    )


def profile_figure(data: EvaluationData) -> Figure | None:
    """Return the performance profile of Dolan and More: the share of tasks within a factor tau of the best."""
    if not data.profile or not data.tau:
        return None
    ordered = sorted(data.profile, key=lambda line: -sum(line[1]))
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": data.label(entry),
            "x": list(data.tau),
            "y": [100 * one for one in share],
            "line": {"width": 2, "shape": "hv", **style(data, entry)},
            "hovertemplate": "%{y:.0f} % of tasks within %{x:.3g} times the best",
            **({} if i < SHOWN else {"visible": "legendonly"}),
        }
        for i, (entry, share) in enumerate(ordered)
    ]
    layout: Layout = {
        "xaxis": {"title": "τ, times the best"},
        "yaxis": {"title": "share of tasks, %", "range": [-2, 103]},
    }
    tasks = max((n for _, _, n in data.ranks), default=len(data.tasks))
    what = (
        data.profile_words
        or f"The share of n = {counted(tasks, 'task')} on which an entry is within τ times the best entry."
    )
    return Figure(
        name="profile",
        title="Performance profile",
        sentence=f"{what} Higher is better at every τ; at τ = 1 stands the share of tasks on which an entry is the best itself.",
        views=(View(traces, layout),),
        rows=[
            {"optimizer": e[0], "schedule": e[1], "tau": tau, "share": one}
            for e, share in ordered
            for tau, one in zip(data.tau, share, strict=False)
        ],
        height=420,
    )


def schedules_figure(data: EvaluationData) -> Figure | None:
    """Return optimizers by schedules, each task's medians as a heat map; None where there is one schedule."""
    if len(data.schedules) < 2:
        return None
    views = []
    for name, task in data.tasks.items():
        rows = [row for row in data.rows if row.task == name and row.final.median is not None]
        optimizers = list(dict.fromkeys(row.optimizer for row in rows))
        medians = {(row.optimizer, row.schedule): row.final.median for row in rows}
        if not optimizers:
            continue
        measure = measure_of(task)
        z = [[measure.scaled(medians.get((o, s))) for s in data.schedules] for o in optimizers]
        text = [[measure.show(medians.get((o, s))) for s in data.schedules] for o in optimizers]
        trace = _heat(
            data.schedules, [data.short_names[o] for o in optimizers], z, text, measure.axis, task.higher_is_better
        )
        views.append(View([trace], _grid("schedule", "optimizer"), (name,)))
    return Figure(
        name="schedules",
        title="Schedules and optimizers",
        sentence=f"Median final validation metric over n = {max(row.n for row in data.rows)} report seeds of every optimizer "
        "under every schedule, each tuned "
        "anew with the same budget. The stronger the colour, the better.",
        views=views,
        rows=[
            {"task": r.task, "optimizer": r.optimizer, "schedule": r.schedule, "median": r.final.median, "n": r.n}
            for r in data.rows
        ],
        pickers=("Task",),
        height=120 + 34 * len({row.optimizer for row in data.rows}),
    )


def grafting_figure(data: EvaluationData) -> Figure | None:
    """Return the mean ranks of magnitudes grafted on directions."""
    grafting = data.grafting
    if grafting is None:
        return None
    magnitudes, directions, ranks = grafting["magnitudes"], grafting["directions"], grafting["mean_ranks"]
    text = [["–" if rank is None else f"{rank:.3g}" for rank in row] for row in ranks]
    trace = _heat(directions, magnitudes, ranks, text, "mean rank", higher_is_better=False)
    return Figure(
        name="grafting",
        title="Magnitudes and directions",
        sentence=f"Mean rank over n = {counted(grafting['tasks'], 'task')} of each optimizer's step length (rows) in another "
        "one's direction (columns). "
        f"The stronger the colour, the better. {grafting['words']}".strip(),
        views=(View([trace], _grid("direction", "magnitude")),),
        rows=[
            {"magnitude": m, "direction": d, "mean_rank": rank}
            for m, row in zip(magnitudes, ranks, strict=True)
            for d, rank in zip(directions, row, strict=True)
        ],
        height=120 + 42 * len(magnitudes),
    )


def _heat(
    columns: Sequence[str],
    lines: Sequence[str],
    z: Sequence[Sequence[float | None]],
    text: Sequence[Sequence[str]],
    what: str,
    higher_is_better: bool,
) -> Trace:
    return {
        "type": "heatmap",
        "x": list(columns),
        "y": list(lines),
        "z": [list(row) for row in z],
        "text": [list(row) for row in text],
        "texttemplate": "%{text}",
        "colorscale": "@scale",
        "reversescale": not higher_is_better,
        "xgap": 2,
        "ygap": 2,
        "showscale": False,
        "hovertemplate": f"%{{y}}, %{{x}}<br>{what.replace('<', '').replace('%{', '')} %{{text}}<extra></extra>",
    }


def _grid(x: str, y: str) -> Layout:
    return {
        "xaxis": {"title": x, "type": "category", "ticks": "", "showgrid": False},
        "yaxis": {"title": y, "type": "category", "autorange": "reversed", "ticks": "", "showgrid": False},
    }
