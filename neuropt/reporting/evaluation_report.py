"""The report of an evaluation: what may be said, then over all tasks, then task by task, then what it took and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.evaluating.against import ALPHA
from neuropt.reporting.blocks import Block, Command, Fact, Facts, Page, Section, Text
from neuropt.reporting.evaluation_figures import curves_figure
from neuropt.reporting.evaluation_records import EvaluationData
from neuropt.reporting.evaluation_tables import against_table, cost_table, ranks_table, results_table, tuning_table
from neuropt.reporting.measures import counted, listed
from neuropt.reporting.overall_figures import grafting_figure, profile_figure, ranks_figure, schedules_figure
from neuropt.reporting.trace_figures import cosines_figure, norms_figure
from neuropt.reporting.tuning_figures import budget_figure, rates_figure


def evaluation_page(data: EvaluationData) -> Page:
    """Return the report of an evaluation."""
    optimizers = list(dict.fromkeys(row.optimizer for row in data.rows))
    return Page(
        kind="Evaluation report",
        title=data.folder.resolve().name,
        subtitle=f"{counted(len(optimizers), 'optimizer')} · {counted(len(data.schedules), 'schedule')} · "
        f"{counted(len(data.tasks), 'task')}",
        summary=_summary(data, optimizers),
        highlights=_highlights(data, optimizers),
        sections=(
            Section("claims", "What may be said", _claims(data)),
            Section(
                "overall",
                "Over all tasks",
                _present(ranks_figure(data), ranks_table(data), profile_figure(data), grafting_figure(data)),
            ),
            Section(
                "tasks",
                "Task by task",
                _present(curves_figure(data), results_table(data), against_table(data), schedules_figure(data)),
            ),
            Section("updates", "Updates along training", _updates(data)),
            Section("tuning", "Tuning", _present(rates_figure(data), tuning_table(data), budget_figure(data))),
            Section("cost", "Cost", [cost_table(data)]),
            Section("sentences", "Every claim in words", [Text(data.claims, points=True)] if _many(data) else []),
            Section("provenance", "Provenance", _provenance(data)),
        ),
    )


FEW = 12
"""Claims that stand first on the page."""
NOT_TRACED = (
    "Norms of updates and their cosines with the gradient were not recorded in this evaluation. "
    "`neuropt evaluate --resume --out DIR` records them, one short training an entry, and trains nothing else again."
)


def _present(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]


def _count(data: EvaluationData, name: str) -> int:
    value = data.protocol.get(name)
    return len(value) if isinstance(value, list) else 0


def _summary(data: EvaluationData, optimizers: list[str]) -> list[str]:
    failures = sum(1 for row in data.rows if row.failure)
    trials = data.protocol.get("trials")
    diverged, children = sum(row.diverged for row in data.rows), sum(row.n for row in data.rows)
    budget = f" with {trials} trials each" if isinstance(trials, int) else ""
    said = [
        f"{listed(optimizers) if len(optimizers) <= 12 else counted(len(optimizers), 'optimizer')} on "
        f"{counted(len(data.tasks), 'task')}: every one tuned"
        f"{budget} on {counted(_count(data, 'tune_seeds'), 'seed')}, then reported on "
        f"{counted(_count(data, 'report_seeds'), 'fresh seed')} at its best. "
        f"Of n = {counted(children, 'reported child', 'reported children')}, {diverged:,} diverged and count as the worst."
    ]
    if failures:
        said.append(
            f"{counted(failures, 'entry', 'entries')} could not be trained and {'ranks' if failures == 1 else 'rank'} last."
        )
    return said


def _highlights(data: EvaluationData, optimizers: list[str]) -> list[Fact]:
    ranks = sorted(data.ranks, key=lambda rank: rank[1])
    facts = [
        Fact("tasks", str(len(data.tasks)), counted(len({t.family for t in data.tasks.values()}), "family", "families"))
    ]
    facts.append(Fact("optimizers", str(len(optimizers)), counted(len(data.schedules), "schedule")))
    facts.append(
        Fact("report seeds", str(_count(data, "report_seeds")), f"{_count(data, 'tune_seeds')} others to tune")
    )
    facts.append(Fact("children", f"{len(data.children):,}", "tuning and report"))
    if ranks:
        entry, rank, tasks = ranks[0]
        doubt = "; no order of ranks is shown" if data.rank_p is not None and data.rank_p > ALPHA else ""
        note = f"{data.label(entry)}, n = {counted(tasks, 'task')}{doubt}"
        facts.append(Fact("first mean rank", f"{rank:.2f}", note))
    return facts


def _many(data: EvaluationData) -> bool:
    """Whether the claims are too many to stand first: nobody reads thirty sentences before the first figure."""
    return len(data.claims) > FEW


def _claims(data: EvaluationData) -> list[Block]:
    blocks: list[Block] = []
    shown = data.claims
    if _many(data):
        shown = _over_all(data)
        said = f"The table of mean ranks says what each entry won and lost; all {len(data.claims)} sentences stand at the end."
        blocks.append(Text([*shown, said]))
    elif data.claims:
        blocks.append(Text(data.claims, points=True))
    else:
        blocks.append(Text(["Nothing is claimed from these data."]))
    lacking = "; ".join(data.missing)
    if lacking and not any(lacking in claim for claim in shown):
        blocks.append(Text([f"No entry is called better here: {lacking}."]))
    return blocks


def _over_all(data: EvaluationData) -> Sequence[str]:
    """Return the claims over all tasks: the test of the ranks, and what follows it, who may be called better."""
    at = data.claims.index(data.rank_words) if data.rank_words in data.claims else -1
    return data.claims[at:]


def _updates(data: EvaluationData) -> list[Block]:
    if data.traces is None:
        return [Text([NOT_TRACED])]
    return _present(norms_figure(data), cosines_figure(data)) or [Text([NOT_TRACED])]


def _provenance(data: EvaluationData) -> list[Block]:
    blocks: list[Block] = []
    if data.command:
        blocks.append(Command(data.command, "To repeat it with the versions below:"))
    rules = [Fact(name, rule) for name, rule in data.rules.items() if rule and rule != name]
    if rules:
        blocks.append(Facts("Rules", rules))
    shown = {name: value for name, value in data.protocol.items() if value is not None}
    facts = [
        Fact(name.replace("_", " "), listed([str(v) for v in value]) if isinstance(value, list) else str(value))
        for name, value in shown.items()
    ]
    blocks.append(Facts("Protocol", facts))
    blocks.append(
        Facts("Tasks", [Fact(t.name, f"{t.steps:,} steps, {t.metric}", t.family) for t in data.tasks.values()])
    )
    if data.facts:
        blocks.append(Facts("Versions and hashes", [Fact(name, value) for name, value in data.facts.items()]))
    return blocks
