"""The tables of a search: finalists, why proposals were rejected, and what it all took."""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import LEAST_FOR_INTERVAL
from neuropt.reporting.blocks import Block, Cell, Column, Fact, Facts, Table
from neuropt.reporting.measures import Measure, counted, duration, listed, number, percent
from neuropt.reporting.run_data import RunData


def finalist_table(rows: Sequence[Row], measure: Measure) -> Table:
    unit = measure.axis
    columns = (
        Column("optimizer", numeric=False),
        Column("lr", meaning="the best learning rate in tuning"),
        Column(f"validation {unit}", meaning="median and quartiles"),
        Column("95 %", meaning="bootstrap interval of the median on validation"),
        Column(f"test {unit}", meaning="median and quartiles"),
        Column("95 %", meaning="bootstrap interval of the median on test"),
        Column("n", meaning="fresh seeds"),
        Column("diverged", meaning="of n, counted as the worst"),
    )
    edges = " A learning rate with ^ is the lowest or highest tried; a better one may lie beyond." * any(
        r.edge for r in rows
    )
    few = f" Fewer than {LEAST_FOR_INTERVAL} seeds support no interval." * any(r.n < LEAST_FOR_INTERVAL for r in rows)
    failures = " ".join(f"{row.optimizer} failed: {row.failure}." for row in rows if row.failure is not None)
    return Table(
        name="finalists",
        title="The same in numbers",
        sentence=f"Median [quartiles] over n = {max(r.n for r in rows)} fresh seeds, ordered by validation. Highlighted rules "
        "were found by this "
        f"search on this task, so their numbers are no evidence for other tasks.{edges}{few} {failures}".strip(),
        columns=columns,
        rows=[_finalist_cells(row, measure) for row in rows],
        marked=frozenset(i for i, row in enumerate(rows) if row.searched),
    )


def _finalist_cells(row: Row, measure: Measure) -> list[Cell]:
    cells = [
        Cell(row.optimizer, row.optimizer, "" if row.rule in (None, row.optimizer) else str(row.rule), code=True),
        Cell("–" if row.learning_rate is None else f"{row.learning_rate:.3g}{'^' * row.edge}", row.learning_rate),
    ]
    for spread in (row.validation, row.test):
        absent = "failed" if row.failure is not None else "–"
        order = None if spread is None else spread.median
        cells.append(Cell(absent if spread is None else measure.spread(spread), order))
        cells.append(Cell("–" if spread is None else measure.interval(spread.low, spread.high), order))
    return [*cells, Cell(str(row.n), row.n), Cell(str(row.diverged), row.diverged)]


def reasons_table(why: Sequence[tuple[str, int]]) -> Table:
    total = sum(count for _, count in why)
    return Table(
        name="rejected",
        title="Why proposals were rejected",
        sentence=f"n = {counted(total, 'rejected proposal')}; each failed a cheap test before any training.",
        columns=(Column("reason", numeric=False), Column("proposals"), Column("share")),
        rows=[[Cell(reason, reason), Cell(f"{n:,}", n), Cell(percent(n, total), n)] for reason, n in why],
    )


def cost_facts(data: RunData) -> list[Block]:
    cost, children = data.cost, sum(data.cost.children.values())
    ends = {"trained": "to the end", "stopped": "stopped early by halving", "diverged": "diverged"}
    said = ", ".join(f"{count:,} {ends.get(status, status)}" for status, count in cost.children.items())
    facts = [
        Fact(
            "search",
            duration(cost.seconds),
            f"{counted(cost.trials, 'trial')} on {listed(cost.devices) or 'nothing yet'}, summed over workers",
        ),
        Fact("children", f"{children:,}", said),
        Fact("training steps", f"{cost.steps:,}", "of all children"),
    ]
    if cost.seconds:
        facts.append(
            Fact("rules a minute", number(60 * len(data.told) / cost.seconds), "of one worker's training time")
        )
    if cost.finalist_works:
        facts.append(
            Fact(
                "finalists and built-ins",
                duration(cost.finalist_seconds),
                f"{counted(cost.finalist_children, 'child', 'children')}, {cost.finalist_steps:,} steps",
            )
        )
    return [Facts("", facts)]
