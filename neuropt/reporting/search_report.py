"""The report of a search: what it found first, then how it went, what it took, and how to repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import lru_cache

from neuropt.config import SearchConfig
from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import LEAST_FOR_INTERVAL
from neuropt.explaining import explain_rule
from neuropt.reporting.blocks import (
    Block,
    Cell,
    Column,
    Command,
    Fact,
    Facts,
    Formula,
    Formulas,
    Page,
    Section,
    Table,
    Text,
)
from neuropt.reporting.finalist_figures import finalists_figure, rates_figure
from neuropt.reporting.formulas import formula_of
from neuropt.reporting.measures import ACCURACY, Measure, counted, duration, listed, number, percent
from neuropt.reporting.run_data import RunData, one_line, reasons
from neuropt.reporting.search_figures import controller_figure, reward_figure, shares_figure, tokens_figure
from search_space import SearchSpace, load_space, parse_rule

WHERE_ELSE = ("address", "data_dir", "tensorboard")
"""Fields of a configuration that a command to repeat a search leaves out: where one machine has its data and its cluster."""


def search_page(data: RunData) -> Page:
    """Return the report of a run."""
    measure, reward = _measures(data.config)
    space = _space(data.config)
    figures = [
        reward_figure(data, reward),
        shares_figure(data),
        controller_figure(data),
        tokens_figure(data, space) if space is not None else None,
    ]
    course: list[Block] = [figure for figure in figures if figure is not None]
    if not data.updates:
        course.append(Text([f"The controller {data.config.controller} recorded no update."]))
    if why := reasons(data.asked):
        course.append(_reasons(why))
    rates = rates_figure(data, measure)
    groups = "" if space is None else f", {counted(space.groups, 'group')}"
    return Page(
        kind="Search report",
        title=data.name,
        subtitle=f"{data.config.space}{groups} · {data.config.controller} · {data.config.task} · {data.status.state}",
        summary=list(_summary(data, measure, reward)),
        highlights=_highlights(data, reward),
        sections=(
            Section("result", "Finalists", _finalists(data, measure)),
            Section("rules", "The best rules", [*_rules(data, reward), *([rates] if rates else [])]),
            Section("course", "How the search went", course),
            Section("cost", "Cost", _cost(data)),
            Section("provenance", "Provenance", _provenance(data)),
        ),
    )


def _measures(config: SearchConfig) -> tuple[Measure, Measure]:
    """Return the metric that orders finalists, and the reward."""
    if config.reward == "accuracy":
        return ACCURACY, Measure("validation accuracy", " %", 100.0, 2)
    return Measure("loss"), Measure("minus log of validation loss")


def _space(config: SearchConfig) -> SearchSpace | None:
    try:
        return load_space(config.space, config.groups)
    except (ValueError, OSError):  # a file of a user that is elsewhere now
        return None


# ---- in words


def _summary(data: RunData, measure: Measure, reward: Measure) -> Iterator[str]:
    best = data.status.best
    if best is None:
        yield f"No rule is trained yet. {_state(data)}"
        return
    yield (
        f"Of {counted(data.status.trained, 'trained rule')} the best by reward is `{one_line(best.rule)}`, with "
        f"{reward.show(best.reward, unit=True)} "
        f"{reward.name}. The best of so many owes much to luck, which is why finalists are trained again on fresh seeds. "
        f"{_state(data)}".strip()
    )
    found = [row for row in data.finalists if row.searched and row.validation is not None]
    others = [row for row in data.finalists if not row.searched and row.validation is not None]
    if found and others:
        yield (
            f"On n = {found[0].n} fresh seeds the first found rule is {found[0].optimizer}, {_said(found[0], measure)}; the "
            "first built-in is "
            f"{others[0].optimizer}, {_said(others[0], measure)}. The rule was found on this very task, so these numbers are "
            "no evidence for other tasks."
        )


def _state(data: RunData) -> str:
    match data.status.state:
        case "finished":
            return ""
        case "interrupted":
            return f"The search was interrupted; `neuropt search --resume --run {data.folder}` goes on with it."
        case state:
            return f"The run is {state}: these are the results so far."


def _said(row: Row, measure: Measure) -> str:
    spread = row.validation
    assert spread is not None
    interval = measure.interval(spread.low, spread.high)
    return f"median validation {measure.name} {measure.show(spread.median, unit=True)}" + (
        f" (95 % {interval})" if spread.low is not None else ""
    )


def _highlights(data: RunData, reward: Measure) -> list[Fact]:
    status, best = data.status, data.status.best
    proposals = len(data.asked)
    facts = [
        Fact("best reward", "–" if best is None else reward.show(best.reward, unit=True), reward.name),
        Fact(
            "rules trained",
            f"{status.trained:,}",
            f"of {status.wanted:,}" + f", {status.failed} failed" * bool(status.failed),
        ),
        Fact("duplicates", percent(status.duplicates, proposals), f"{status.duplicates:,} of {proposals:,} proposals"),
        Fact("rejected", percent(status.rejected, proposals), f"{status.rejected:,} of {proposals:,} proposals"),
        Fact("training", duration(data.cost.seconds + data.cost.finalist_seconds), "summed over workers"),
    ]
    return facts


# ---- what was found


def _finalists(data: RunData, measure: Measure) -> list[Block]:
    if not data.finalists:
        wanted = data.config.finalists
        return [
            Text(
                [
                    f"There are no finalists yet; {counted(wanted, 'rule')} will be trained again when the search ends."
                    if wanted
                    else "This search trained no finalists."
                ]
            )
        ]
    figure = finalists_figure(data.finalists, measure)
    return [*([figure] if figure else []), _finalist_table(data.finalists, measure)]


def _finalist_table(rows: Sequence[Row], measure: Measure) -> Table:
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


def _rules(data: RunData, reward: Measure) -> list[Block]:
    if not data.best:
        return []
    formulas = []
    for rule in data.best:
        facts = [Fact("reward", reward.show(rule.reward, unit=True)), Fact("learning rate", number(rule.learning_rate))]
        if rule.loss is not None:
            facts.append(Fact("validation loss", number(rule.loss)))
        mathml, known = _explained(rule.rule)
        formulas.append(Formula(f"{data.name}:{rule.position}", one_line(rule.rule), mathml, [*facts, *known]))
    said = (
        f"The {counted(len(data.best), 'best rule')} of n = {data.status.trained:,} by reward, with every shortening written out. "
        "`g` is the gradient, `w` the parameter, `t` the steps done, `T` the planned steps, η the learning rate; `w` becomes `w` − η `u`."
    )
    return [Text([said]), Formulas(formulas)]


@lru_cache(maxsize=256)  # a page that is served is made anew while most of its best rules stay
def _explained(text: str) -> tuple[str | None, tuple[Fact, ...]]:
    """Return a rule's formula, and what else there is to say of it."""
    mathml = formula_of(text)
    if mathml is None:
        return None, (Fact("formula", "none: this text cannot be read as a rule"),)
    explanation = explain_rule(parse_rule(text))
    facts = [Fact("remembers", listed(explanation.remembers) or "nothing")]
    if explanation.same_as:
        facts.append(Fact("same as", listed(explanation.same_as)))
    return mathml, tuple(facts)


def _reasons(why: Sequence[tuple[str, int]]) -> Table:
    total = sum(count for _, count in why)
    return Table(
        name="rejected",
        title="Why proposals were rejected",
        sentence=f"n = {counted(total, 'rejected proposal')}; each failed a cheap test before any training.",
        columns=(Column("reason", numeric=False), Column("proposals"), Column("share")),
        rows=[[Cell(reason, reason), Cell(f"{n:,}", n), Cell(percent(n, total), n)] for reason, n in why],
    )


# ---- what it took, and how to repeat it


def _cost(data: RunData) -> list[Block]:
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


def _provenance(data: RunData) -> list[Block]:
    names = {"data_sha256": "data, SHA-256", "weights_sha256": "first weights, SHA-256"}
    exactly = data.config.deterministic or data.config.executor == "in-process"
    blocks: list[Block] = [
        Command(
            repeating(data.config, data.name),
            "To repeat it with the versions below: "
            + (
                "results come back rule for rule."
                if exactly
                else "with several workers the order of results decides what is proposed "
            )
            + "next, so that another run finds other rules unless it is `--deterministic`." * (not exactly),
        )
    ]
    for environment in data.environments:
        title = (
            ""
            if len(data.environments) == 1
            else f"Environment {environment.number}, from event {environment.event} on"
        )
        facts = [Fact(names.get(name, name), str(fact)) for name, fact in environment.facts.items()]
        blocks.append(Facts(title, [Fact("begun", data.created), *facts] if environment.number == 1 else facts))
    usual = SearchConfig()
    values = [(f.name, getattr(data.config, f.name)) for f in fields(SearchConfig)]
    changed = [
        Fact(name, str(value), f"default: {getattr(usual, name)}")
        for name, value in values
        if value != getattr(usual, name)
    ]
    if changed:
        blocks.append(Facts("Settings that are not the default", changed))
    return blocks


def repeating(config: SearchConfig, name: str) -> str:
    """Return the command line that starts a search like this one.

    >>> repeating(SearchConfig(rules=100, halving=False), "first")
    'neuropt search --rules 100 --no-halving --run runs/first-again'
    """
    usual, words = SearchConfig(), ["neuropt", "search"]
    for field in fields(SearchConfig):
        value = getattr(config, field.name)
        if field.name in WHERE_ELSE or value == getattr(usual, field.name):
            continue
        flag = field.name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return shlex.join([*words, "--run", f"runs/{name}-again"])
