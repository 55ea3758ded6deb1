"""The tables of an evaluation: results, tuning, how soon and at what cost, and ranks."""

from __future__ import annotations

from neuropt.reporting.blocks import Cell, Column, Table
from neuropt.reporting.evaluation_figures import measure_of
from neuropt.reporting.evaluation_records import EntryRow, EvaluationData
from neuropt.reporting.measures import Measure, counted, number
from neuropt.reporting.tuning_figures import basin, sweeps

NAMES = (Column("optimizer", numeric=False), Column("schedule", numeric=False), Column("task", numeric=False))
"""Columns that say which entry a row is of; those of schedule and task are left out where there is only one."""
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
        f"for the rules it found. {_itself(data)}{_budget(data)}",
        columns=(*NAMES[:2], Column("mean rank"), Column("tasks"), Column("won / tied / lost")),
        rows=rows,
    )


def results_table(data: EvaluationData) -> Table:
    """Return what every entry came to on every task."""
    columns = (
        *_named(data)[0],
        Column("rank"),
        Column("n", meaning="report seeds"),
        Column("div.", meaning="diverged children of n, counted as the worst"),
        Column("final", meaning="validation metric at the end: median and quartiles"),
        Column("95 %", meaning="bootstrap interval of the median"),
        Column("IQM", meaning="interquartile mean, with its 95 % interval"),
        Column("best", meaning="median over seeds of the best value at any evaluation"),
        Column("test", meaning="median and quartiles; nothing was chosen by it"),
    )
    return Table(
        name="results",
        title="Final values",
        sentence="Median [quartiles] of the validation metric at the end of the schedule, over n report seeds, at the tuned "
        "learning rate. Diverged children "
        f"count as the worst. Marked rows are of rules whose search saw the task or its family, which is no evidence. {_budget(data)}",
        columns=columns,
        rows=[[*_names(row, data), *_results(row, measure_of(data.tasks[row.task]))] for row in data.rows],
        marked=frozenset(i for i, row in enumerate(data.rows) if row.seen),
        filtered=_named(data)[1],
    )


def _named(data: EvaluationData) -> tuple[list[Column], int | None]:
    """Return the columns that name an entry, and which of them is the task."""
    several = (True, len(data.schedules) > 1, len(data.tasks) > 1)
    columns = [column for column, there in zip(NAMES, several, strict=True) if there]
    return columns, len(columns) - 1 if several[2] else None


def _names(row: EntryRow, data: EvaluationData) -> list[Cell]:
    cells = {
        "optimizer": Cell(row.optimizer, row.optimizer, SEEN.get(row.seen, "")),
        "schedule": Cell(row.schedule, row.schedule),
        "task": Cell(row.task, row.task),
    }
    return [cells[column.title] for column in _named(data)[0]]


def _results(row: EntryRow, measure: Measure) -> list[Cell]:
    rank = Cell("–" if row.rank is None else f"{row.rank:g}", row.rank)
    if row.failure or row.final.median is None:
        failed = Cell("failed", None, row.failure)
        return [rank, *_counts(row), failed, *(Cell("–"),) * 4]
    final, iqm, test = row.final, row.iqm, row.test
    return [
        rank,
        *_counts(row),
        Cell(f"{measure.show(final.median)} {measure.interval(final.q1, final.q3)}", final.median),
        Cell(measure.interval(final.low, final.high), final.low),
        Cell(f"{measure.show(iqm.median)} {measure.interval(iqm.low, iqm.high)}".replace(" –", ""), iqm.median),
        Cell(measure.show(row.best), row.best),
        Cell(f"{measure.show(test.median)} {measure.interval(test.q1, test.q3)}".replace(" –", ""), test.median),
    ]


def _counts(row: EntryRow) -> list[Cell]:
    return [Cell(str(row.n), row.n), Cell(str(row.diverged), row.diverged)]


def against_table(data: EvaluationData) -> Table | None:
    """Return every entry beside the reference, paired by seed."""
    rows = []
    for row in data.rows:
        against, measure = row.against, measure_of(data.tasks[row.task])
        if against is None:
            continue
        gap = against.difference
        seeds = Cell(f"{against.wins} / {against.ties} / {against.losses}", float(against.wins - against.losses))
        cells = [
            seeds,
            Cell(measure.show(gap.median), gap.median),
            Cell(measure.interval(gap.low, gap.high), gap.low),
            Cell(number(against.improvement), against.improvement),
            Cell(number(against.p_holm), against.p_holm),
        ]
        rows.append([*_names(row, data), *cells])
    if not rows:
        return None
    return Table(
        name="against",
        title=f"Beside {data.protocol.get('reference', 'the reference')}",
        sentence="Paired by seed, n in each row: won / tied / lost; the median difference, positive where the optimizer is "
        "ahead, with its 95 % interval; "
        f"the probability of improvement; p of the signed-rank test with Holm's correction over tasks. {_itself(data)}{_budget(data)}",
        columns=(
            *_named(data)[0],
            Column("won / tied / lost", meaning="seeds"),
            Column("difference"),
            Column("95 %", meaning="bootstrap interval of the median difference"),
            Column("P(ahead)"),
            Column("p, Holm"),
        ),
        rows=rows,
        filtered=_named(data)[1],
    )


def tuning_table(data: EvaluationData) -> Table:
    """Return what tuning chose, what it was chosen from, and what the default would have given."""
    found = sweeps(data)
    rows = []
    for row in data.rows:
        task = data.tasks[row.task]
        sweep, measure = found.get((row.task, (row.optimizer, row.schedule)), {}), measure_of(task)
        around = basin(sweep, task)
        width = None if around is None else around[1] / around[0]
        others = ", ".join(f"{name} = {value}" for name, value in row.hyperparameters.items())
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
            Cell("–" if default is None else number(default.learning_rate), default.learning_rate if default else None),
            Cell(
                "–" if default is None else measure.show(default.final.median),
                default.final.median if default else None,
            ),
        ]
        rows.append([*_names(row, data), *cells])
    edges = " A learning rate with ^ is the lowest or highest tried; a better one may lie beyond." * any(
        r.edge for r in data.rows
    )
    return Table(
        name="tuning",
        title="Tuned values, and the default",
        sentence=f"{_budget(data)} The basin is "
        "the factor between the ends of the "
        f"unbroken stretch of learning rates within 1 % of the best. Tuned and default are final medians over report seeds.{edges}",
        columns=(
            *_named(data)[0],
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
        filtered=_named(data)[1],
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
        rows.append([*_names(row, data), *soon, *costs])
    return Table(
        name="cost",
        title="How soon, and at what cost",
        sentence=f"A target counts as reached from {data.protocol.get('consecutive', 'several')} consecutive evaluations on; "
        "a miss is infinite. n is beside each count. "
        "Seconds to it are steps to it times seconds a step. "
        "Microseconds are of the optimizer's own step, measured alone; bytes are what it keeps for a parameter. "
        f"{_budget(data)}",
        columns=(
            *_named(data)[0],
            Column("target"),
            Column("reached"),
            Column("steps to it"),
            Column("seconds to it"),
            Column("µs a step"),
            Column("bytes a parameter"),
            Column("seconds a step", meaning="median of a whole training step, measured alone"),
            Column("steps"),
            Column("gradients", meaning="examples whose gradient was computed"),
        ),
        rows=rows,
        filtered=_named(data)[1],
    )


def _budget(data: EvaluationData) -> str:
    """Say what tuning was given, which stands with every table."""
    seeds = data.protocol.get("tune_seeds")
    n = len(seeds) if isinstance(seeds, list) else 0
    trials = sorted({row.trials for row in data.rows if not row.failure})
    return f"Every entry was tuned with {' or '.join(map(str, trials)) or 0} trials on n = {counted(n, 'tuning seed')}."


def _itself(data: EvaluationData) -> str:
    """Say what the reference under other schedules is compared with."""
    for row in data.rows:
        against = row.against
        if against is not None and against.reference == row.optimizer:
            return f"{row.optimizer} itself is compared with {row.optimizer} under {against.reference_schedule}. "
    return ""
