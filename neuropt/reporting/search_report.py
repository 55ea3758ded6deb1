"""The report of a search: what it found first, then how it went, what it took, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from neuropt.config import Reward, SearchConfig
from neuropt.evaluating.row import Row
from neuropt.explaining import explain_rule
from neuropt.reporting.blocks import (
    Block,
    Fact,
    Formula,
    Formulas,
    Page,
    Section,
    Text,
)
from neuropt.reporting.finalist_figures import finalists_figure, rates_figure
from neuropt.reporting.formulas import formula_of
from neuropt.reporting.measures import ACCURACY, Measure, counted, duration, listed, number, percent
from neuropt.reporting.provenance import provenance
from neuropt.reporting.run_data import RunData, one_line, reasons
from neuropt.reporting.search_figures import controller_figure, reward_figure, shares_figure, tokens_figure
from neuropt.reporting.search_tables import cost_facts, finalist_table, reasons_table
from search_space import SearchSpace, load_space, parse_rule


def search_page(data: RunData) -> Page:
    """Return the report of a run."""
    measure, reward = _measures(data.metric)
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
        course.append(reasons_table(why))
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
            Section("cost", "Cost", cost_facts(data)),
            Section("provenance", "Provenance", provenance(data)),
        ),
    )


def _measures(metric: Reward) -> tuple[Measure, Measure]:
    """Return the metric that orders finalists, and the reward."""
    if metric == "accuracy":
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
    ]
    seconds = data.cost.seconds + data.cost.finalist_seconds
    return [*facts, Fact("training", duration(seconds), "summed over workers")] if seconds else facts


# ---- what was found


def _finalists(data: RunData, measure: Measure) -> list[Block]:
    if not data.finalists:
        wanted = counted(data.config.finalists, "rule")
        later = f"There are no finalists yet; {wanted} will be trained again when the search ends."
        return [Text([later if data.config.finalists else "This search trained no finalists."])]
    figure = finalists_figure(data.finalists, measure)
    return [*([figure] if figure else []), finalist_table(data.finalists, measure)]


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
