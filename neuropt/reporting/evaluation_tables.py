"""The tables of an evaluation: results, tuning, how soon and at what cost, and ranks."""

from __future__ import annotations

import json

from neuropt.reporting.blocks import Cell, Column, Table
from neuropt.reporting.evaluation_data import EntryRow, EvaluationData
from neuropt.reporting.evaluation_figures import basin, measure_of, sweeps
from neuropt.reporting.measures import Measure, counted, number

NAMES = (Column("optimizer", numeric=False), Column("schedule", numeric=False), Column("task", numeric=False))
SEEN = {"task": "seen in search", "family": "family seen in search"}


def ranks_table(data: EvaluationData) -> Table | None:
    """Return mean ranks, and tasks won, tied and lost against the reference."""
    if not data.ranks:
        return None
    rows = []
    for entry, rank, tasks in sorted(data.ranks, key=lambda one: one[1]):
        won = data.wins.get(entry)
        cells = [Cell(entry[0], entry[0]), Cell(entry[1], entry[1]), Cell(f"{rank:.2f}", rank), Cell(str(tasks), tasks)]
        score = None if won is None else float(won[0] - won[2])
        rows.append([*cells, Cell("–" if won is None else f"{won[0]} / {won[1]} / {won[2]}", score)])
    reference = data.protocol.get("reference", "the reference")
    return Table(
        name="ranks",
        title="The same in numbers",
        sentence=f"Tasks won / tied / lost against {reference} by p with Holm's correction, paired by seed; a tie is a "
        "difference that is not shown. "
        f"n = {counted(max(tasks for _, _, tasks in data.ranks), 'task')}; tasks and families that a search saw do not count "
        "for the rules it found.",
        columns=(*NAMES[:2], Column("mean rank"), Column("tasks"), Column("won / tied / lost")),
        rows=rows,
    )


def results_table(data: EvaluationData) -> Table:
    """Return what every entry came to on every task."""
    columns = (
        *NAMES,
        Column("rank"),
        Column("final", meaning="validation metric at the end: median and quartiles"),
        Column("95 %", meaning="bootstrap interval of the median"),
        Column("IQM", meaning="interquartile mean, with its 95 % interval"),
        Column("best", meaning="median over seeds of the best value at any evaluation"),
        Column("test", meaning="median and quartiles; nothing was chosen by it"),
        Column("n", meaning="report seeds"),
        Column("diverged", meaning="of n, counted as the worst"),
        Column("W / T / L", meaning="seeds won, tied and lost against the reference"),
        Column("P(ahead)", meaning="probability of improvement over the reference, pairs of seeds"),
    )
    return Table(
        name="results",
        title="Final values",
        sentence="Median [quartiles] of the validation metric at the end of the schedule, over n report seeds, at the tuned "
        "learning rate. Diverged children "
        "count as the worst. Marked rows are of rules whose search saw the task or its family, which is no evidence.",
        columns=columns,
        rows=[[*_names(row), *_results(row, measure_of(data.tasks[row.task]))] for row in data.rows],
        marked=frozenset(i for i, row in enumerate(data.rows) if row.seen),
        filtered=2,
    )


def _names(row: EntryRow) -> list[Cell]:
    optimizer = Cell(row.optimizer, row.optimizer, SEEN.get(row.seen, ""))
    return [optimizer, Cell(row.schedule, row.schedule), Cell(row.task, row.task)]


def _results(row: EntryRow, measure: Measure) -> list[Cell]:
    rank = Cell("–" if row.rank is None else f"{row.rank:g}", row.rank)
    if row.failure or row.final.median is None:
        failed = Cell("failed", None, row.failure)
        return [rank, failed, *(Cell("–"),) * 4, *_counts(row), Cell("–"), Cell("–")]
    final, iqm, test, against = row.final, row.iqm, row.test, row.against
    return [
        rank,
        Cell(f"{measure.show(final.median)} {measure.interval(final.q1, final.q3)}", final.median),
        Cell(measure.interval(final.low, final.high), final.low),
        Cell(f"{measure.show(iqm.median)} {measure.interval(iqm.low, iqm.high)}".replace(" –", ""), iqm.median),
        Cell(measure.show(row.best), row.best),
        Cell(f"{measure.show(test.median)} {measure.interval(test.q1, test.q3)}".replace(" –", ""), test.median),
        *_counts(row),
        Cell("–")
        if against is None
        else Cell(f"{against.wins} / {against.ties} / {against.losses}", float(against.wins - against.losses)),
        Cell("–") if against is None else Cell(number(against.improvement), against.improvement),
    ]


def _counts(row: EntryRow) -> list[Cell]:
    return [Cell(str(row.n), row.n), Cell(str(row.diverged), row.diverged)]


def tuning_table(data: EvaluationData) -> Table:
    """Return what tuning chose, what it was chosen from, and what the default would have given."""
    found = sweeps(data)
    rows = []
    for row in data.rows:
        task = data.tasks[row.task]
        sweep, measure = found.get((row.task, (row.optimizer, row.schedule)), {}), measure_of(task)
        around = basin(sweep, task)
        width = None if around is None else around[1] / around[0]
        others = json.dumps(row.hyperparameters, ensure_ascii=False)[1:-1].replace('"', "")
        rate = Cell(f"{number(row.learning_rate)}{'^' * row.edge}", row.learning_rate)
        basin_cell = Cell("–" if width is None else "one rate" if width == 1 else f"× {width:.3g}", width)
        lost = sum(diverged for _, diverged, _ in sweep.values())
        tried = sum(n for _, _, n in sweep.values())
        default = row.default
        cells = [
            Cell(str(row.trials), row.trials),
            rate,
            Cell(others or "–", others or None),
            basin_cell,
            Cell(f"{lost} of {tried}" if tried else "–", lost / tried if tried else None),
            Cell(measure.show(row.final.median), row.final.median),
            Cell("–" if default is None else number(default.learning_rate), default and default.learning_rate),
            Cell("–" if default is None else measure.show(default.final.median), default and default.final.median),
        ]
        rows.append([*_names(row), *cells])
    edges = " A learning rate with ^ is the lowest or highest tried; a better one may lie beyond." * any(
        r.edge for r in data.rows
    )
    return Table(
        name="tuning",
        title="Tuned values, and the default",
        sentence=f"Every entry had the same number of trials on n = {_seeds(data, 'tune_seeds')} tuning seeds. The basin is "
        "the factor between the ends of the "
        f"unbroken stretch of learning rates within 1 % of the best. Tuned and default are final medians over report seeds.{edges}",
        columns=(
            *NAMES,
            Column("trials"),
            Column("lr", meaning="the best learning rate in tuning"),
            Column("others", numeric=False, meaning="other hyperparameters, tuned"),
            Column("basin"),
            Column("diverged", meaning="children in tuning"),
            Column("tuned"),
            Column("default lr"),
            Column("default"),
        ),
        rows=rows,
        filtered=2,
    )


def cost_table(data: EvaluationData) -> Table:
    """Return steps and seconds to the target, and what a step costs."""
    rows = []
    for row in data.rows:
        target, measure = row.target, measure_of(data.tasks[row.task])
        soon = [Cell("–")] * 4
        if target is not None:
            soon = [
                Cell(measure.show(target.value), target.value),
                Cell(f"{target.reached} of {target.n}", target.reached / target.n if target.n else None),
                Cell("∞" if target.steps is None else number(target.steps), target.steps),
                Cell("∞" if target.seconds is None else number(target.seconds), target.seconds),
            ]
        names = ("us_per_step", "state_bytes_per_parameter", "seconds_per_step", "steps", "gradients")
        costs = [Cell(number(row.cost.get(name)), row.cost.get(name)) for name in names]
        rows.append([*_names(row), *soon, *costs])
    return Table(
        name="cost",
        title="How soon, and at what cost",
        sentence=f"A target counts as reached from {data.protocol.get('consecutive', 'several')} consecutive evaluations on; "
        "a miss is infinite. n is beside each count. "
        "Microseconds are of the optimizer's own step, measured alone; bytes are what it keeps for a parameter.",
        columns=(
            *NAMES,
            Column("target"),
            Column("reached"),
            Column("steps to it"),
            Column("seconds to it"),
            Column("µs a step"),
            Column("bytes a parameter"),
            Column("seconds a step", meaning="of training"),
            Column("steps"),
            Column("gradients", meaning="examples whose gradient was computed"),
        ),
        rows=rows,
        filtered=2,
    )


def _seeds(data: EvaluationData, which: str) -> int:
    seeds = data.protocol.get(which)
    return len(seeds) if isinstance(seeds, list) else 0
