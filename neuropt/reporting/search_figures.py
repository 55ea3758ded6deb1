"""The figures of a search: how the reward, the proposals, the controller and its choice of tokens went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from neuropt.reporting.blocks import Figure, Layout, Line, Trace, View
from neuropt.reporting.measures import Measure, counted
from neuropt.reporting.run_data import Asked, RunData
from search_space import SearchSpace

WINDOWS = 40
"""Quantiles and shares are taken over about so many windows of a search."""
LEAST = 10
"""Rules or proposals in a window, at least."""
POINTS = 3000
"""Rules that are drawn as points, at most."""
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
STATUSES = {"trained": "@1", "failed": "@2", "under way": "@6", "duplicate": "@5", "rejected": "@ink/0.22"}
"""What becomes of a proposal, and its colour."""
FIRST = ("entropy", "mean_reward", "population_mean")
"""Numbers of a controller that are shown first, where there are any."""
KINDS = ("operand", "unary", "binary")


def windows(count: int) -> list[range]:
    """Return windows of equal size over so many things; the last one takes what is left.

    >>> windows(25)
    [range(0, 10), range(10, 25)]
    """
    size = max(LEAST, -(-count // WINDOWS))
    starts = list(range(0, max(count - size + 1, 1), size)) if count else []
    return [range(a, b) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def reward_figure(data: RunData, measure: Measure) -> Figure | None:
    """Return rewards over the rules of a search, with the best so far and quantiles."""
    trained = [one for one in data.told if one.trained]
    if not trained:
        return None
    rewards = np.array([one.reward for one in trained])
    best = list(accumulate(rewards.tolist(), max))
    bands = [(window, np.quantile(rewards[window.start : window.stop], QUANTILES)) for window in windows(len(rewards))]
    shown = sorted(set(np.linspace(0, len(rewards) - 1, min(POINTS, len(rewards))).round().astype(int).tolist()))
    traces = _reward_traces(rewards * measure.factor, np.array(best) * measure.factor, bands, measure.factor, shown)
    layout: Layout = {
        "xaxis": {"title": "rules trained, in the order of their results"},
        "yaxis": {"title": measure.axis},
    }
    high = float(rewards.max()) * measure.factor
    low = float(np.quantile(rewards, 0.6)) * measure.factor
    pad = 0.06 * (high - low) or 1e-3
    near: Layout = layout | {"yaxis": {"title": measure.axis, "range": [low - pad, high + pad]}}
    points = "" if len(shown) == len(rewards) else f", of which {counted(len(shown), 'is', 'are')} drawn as points"
    failed = len(data.told) - len(trained)
    left_out = f"; {counted(failed, 'rule')} that failed {'is' if failed == 1 else 'are'} left out" * bool(failed)
    return Figure(
        name="reward",
        title="Reward over the search",
        sentence=f"Rewards of n = {counted(len(rewards), 'trained rule')}{points}; the line through the bands is the median of "
        f"{counted(len(bands), 'window')} of {len(bands[0][0])} or more rules, the bands hold their middle 50 % and 80 %, the "
        f"step line is the best so far. A reward is the {measure.name} at the rule's best learning rate"
        f"{_seeds(data)}{left_out}.",
        views=(View(traces, layout, ("all rewards",)), View(traces, near, ("the best",))),
        rows=list(_reward_rows(data, best, bands)),
        pickers=("Show",),
        height=430,
    )


def _seeds(data: RunData) -> str:
    seeds = data.config.child_seeds
    return " on one seed" if seeds == 1 else f", mean over {seeds} seeds"


def _reward_traces(
    rewards: np.ndarray, best: np.ndarray, bands: Sequence[tuple[range, np.ndarray]], factor: float, shown: list[int]
) -> list[Trace]:
    middle = [(window.start + window.stop + 1) / 2 for window, _ in bands]
    q10, q25, q50, q75, q90 = ([float(q[i]) * factor for _, q in bands] for i in range(5))
    number = np.arange(1, len(rewards) + 1)
    steps = [i for i in range(len(best)) if i in (0, len(best) - 1) or best[i] > best[i - 1]]
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": middle}
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "a rule",
            "x": number[shown].tolist(),
            "y": rewards[shown].tolist(),
            "marker": {"size": 4, "color": "@ink/0.28"},
            "hovertemplate": "rule %{x}: %{y:.4g}<extra></extra>",
        },
        {"type": "scatter", "y": q10, "showlegend": False, **band},
        {"type": "scatter", "y": q90, "showlegend": False, "fill": "tonexty", "fillcolor": "@1/0.13", **band},
        {"type": "scatter", "y": q25, "showlegend": False, **band},
        {"type": "scatter", "y": q75, "showlegend": False, "fill": "tonexty", "fillcolor": "@1/0.22", **band},
        {
            "type": "scatter",
            "mode": "lines",
            "name": "median, with 50 % and 80 %",
            "x": middle,
            "y": q50,
            "line": {"color": "@1", "width": 2},
            "hovertemplate": "median %{y:.4g}<extra></extra>",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": number[steps].tolist(),
            "y": best[steps].tolist(),
            "line": {"color": "@2", "width": 2, "shape": "hv"},
            "hovertemplate": "best so far %{y:.4g}<extra></extra>",
        },
    ]


def _reward_rows(data: RunData, best: Sequence[float], bands: Sequence[tuple[range, np.ndarray]]) -> Iterator[Line]:
    trained = [one for one in data.told if one.trained]
    for number, (window, quantiles) in enumerate(bands, 1):
        named: Line = {f"window_q{int(100 * q)}": float(value) for q, value in zip(QUANTILES, quantiles, strict=True)}
        for i in window:
            one = trained[i]
            head: Line = {"rule": i + 1, "proposal": one.proposal, "reward": one.reward, "best_so_far": best[i]}
            yield head | {"window": number} | named


def shares_figure(data: RunData) -> Figure | None:
    """Return what became of proposals over the search."""
    if not data.asked:
        return None
    parts = windows(len(data.asked))
    rows: list[Line] = []
    for window in parts:
        inside = [one.status for one in data.asked[window.start : window.stop]]
        share: Line = {status: inside.count(status) / len(inside) for status in STATUSES}
        rows.append({"first": window.start + 1, "last": window.stop, "proposals": len(inside)} | share)
    there = [status for status in STATUSES if any(row[status] for row in rows)]
    middle = [(window.start + window.stop + 1) / 2 for window in parts]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "stackgroup": "one",
            "name": status,
            "x": middle,
            "y": [100 * row[status] for row in rows],
            "line": {"width": 0.6, "color": STATUSES[status]},
            "fillcolor": STATUSES[status] if "/" in STATUSES[status] else f"{STATUSES[status]}/0.75",
            "hovertemplate": f"{status} %{{y:.1f}} %<extra></extra>",
        }
        for status in there
    ]
    layout: Layout = {
        "xaxis": {"title": "proposals"},
        "yaxis": {"title": "share, %", "range": [0, 100]},
        "hovermode": "x",
    }
    counts = {status: sum(one.status == status for one in data.asked) for status in there}
    said = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return Figure(
        name="proposals",
        title="What became of the proposals",
        sentence=f"Shares among n = {counted(len(data.asked), 'proposal')} in {counted(len(parts), 'window')} of "
        f"{len(parts[0])} or more: {said}. Duplicates and rejected rules cost no training.",
        views=(View(traces, layout),),
        rows=rows,
        height=340,
    )


def controller_figure(data: RunData) -> Figure | None:
    """Return what the controller said of its updates, its entropy first."""
    names = sorted({name for _, metrics in data.updates for name in metrics} - {"updates"})
    names.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    if not names:
        return None
    views = []
    for name in names:
        points = [(number, metrics[name]) for number, metrics in data.updates if name in metrics]
        trace: Trace = {
            "type": "scatter",
            "mode": "lines" if len(points) > 1 else "markers",
            "x": [number for number, _ in points],
            "y": [value for _, value in points],
            "line": {"color": "@1", "width": 2},
            "hovertemplate": "update %{x}: %{y:.4g}<extra></extra>",
        }
        word = "entropy of a string, nats" if name == "entropy" else name.replace("_", " ")
        layout = {"xaxis": {"title": "updates of the controller"}, "yaxis": {"title": word}}
        views.append(View([trace], layout, (name.replace("_", " "),)))
    entropy = [metrics["entropy"] for _, metrics in data.updates if "entropy" in metrics]
    ends = f" The entropy went from {entropy[0]:.3g} to {entropy[-1]:.3g} nats." if len(entropy) > 1 else ""
    return Figure(
        name="controller",
        title="Entropy and the other numbers of the controller" if entropy else "The numbers of the controller",
        sentence=f"What {data.config.controller} said of n = {counted(len(data.updates), 'update')}, each after one batch of "
        f"proposals; docs/metrics.md defines every number.{ends}",
        views=views,
        rows=[{"update": number, **metrics} for number, metrics in data.updates],
        pickers=("Number",),
        height=340,
    )


def tokens_figure(data: RunData, space: SearchSpace) -> Figure | None:
    """Return how often each token was proposed, window by window."""
    asked = [one for one in data.asked if _fits(one.tokens, space)]
    if not asked:
        return None
    parts = windows(len(asked))
    rows: list[Line] = []
    views = []
    for kind, word in enumerate(KINDS):
        texts = (space.operands, space.unary, space.binary)[
            kind
        ]  # earlier results, which must be used, are not among them
        names, shares = _shares(asked, texts, [i for i, of in enumerate(space.kinds) if of == kind], parts)
        middle = [f"{window.start + 1}-{window.stop}" for window in parts]
        trace: Trace = {
            "type": "heatmap",
            "x": middle,
            "y": names,
            "z": (100 * shares).tolist(),
            "colorscale": "@scale",
            "zmin": 0,
            "zmax": 100 * max((float(s.max()) for n, s in zip(names, shares, strict=True) if n in texts), default=1.0),
            "xgap": 1,
            "ygap": 1,
            "colorbar": {"title": {"text": "%"}, "thickness": 10, "len": 1, "outlinewidth": 0},
            "hovertemplate": "%{y}<br>proposals %{x}: %{z:.1f} %<extra></extra>",
        }
        layout: Layout = {
            "xaxis": {"title": "proposals", "type": "category", "nticks": 6, "tickangle": 0},
            "yaxis": {"type": "category", "autorange": "reversed", "ticks": "", "dtick": 1},
        }
        views.append(View([trace], layout, (word,)))
        for window, column in zip(parts, shares.T, strict=True):
            head: Line = {"kind": word, "first": window.start + 1, "last": window.stop}
            rows += [head | {"token": name, "share": float(share)} for name, share in zip(names, column, strict=True)]
    most = max(len({str(row["token"]) for row in rows if row["kind"] == word}) for word in KINDS)
    return Figure(
        name="tokens",
        title="Which tokens were proposed",
        sentence=f"Share of each token among all tokens of its kind in n = {counted(len(asked), 'proposal')}, window by window. These are "
        "frequencies among proposals, which estimate the controller's probabilities; the probabilities themselves are not recorded.",
        views=views,
        rows=rows,
        pickers=("Kind",),
        height=110 + 19 * most,
    )


def _fits(tokens: Sequence[int], space: SearchSpace) -> bool:
    """Whether a string is one of the space; a ledger may hold anything."""
    return len(tokens) == len(space.choices) and all(0 <= t < n for t, n in zip(tokens, space.choices, strict=True))


def _shares(
    asked: Sequence[Asked], texts: Sequence[str], places: Sequence[int], parts: Sequence[range]
) -> tuple[list[str], np.ndarray]:
    """Return the tokens of a kind, the most frequent first, and their shares in each window."""
    strings = np.array([[one.tokens[i] for i in places] for one in asked])
    known = max(len(texts), int(strings.max()) + 1)
    names = [*texts, *(f"result {i - len(texts) + 1}" for i in range(len(texts), known))]  # of an earlier group
    counts = [np.bincount(strings[part.start : part.stop].ravel(), minlength=known) for part in parts]
    shares = np.array([count / count.sum() for count in counts]).T
    order = np.argsort(-np.bincount(strings.ravel(), minlength=known), kind="stable")
    return [names[i] for i in order], shares[order]
