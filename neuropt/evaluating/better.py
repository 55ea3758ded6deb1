"""The word "better", and what must have been compared before it may be used.

Beating Adam alone is easy and means little. Whoever is called better has been compared, with one budget of tuning, on fresh seeds and on
held-out tasks of two families or more, with AdamW at tuned decay and beta2, with RMSProp(0.99), and with a schedule that decays to zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuropt.evaluating.contenders import Contender
from neuropt.evaluating.evidence import seen, unknown
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.tasks.task import Task

DECAYING = ("linear", "cosine", "warmup-cosine", "one-cycle", "linear-cosine", "noisy-linear-cosine")
"""Schedules that end at next to no learning rate, and do not come back from it."""
LEAST_TASKS = 6
"""Held-out tasks from which on a two-sided test over tasks can come under 0.05."""
LEAST_FAMILIES = 2
"""Families that they are of: tasks of one family are no independent evidence, so that one family alone shows nothing about others."""
ALPHA_RMSPROP = 0.99


def missing(contender: Contender, studies: Sequence[tuple[Task, Sequence[Study]]], protocol: Protocol) -> list[str]:
    """Return what is missing before a contender may be called better than others; nothing where it may."""
    known = [study for _, found in studies for study in found if study.failure is None and study.report]
    reasons = [*_missing_baselines(known), *_unequal(known, protocol)]
    used = set(contender.used_seeds) & {*protocol.tune_seeds, *protocol.report_seeds}
    if used or set(protocol.tune_seeds) & set(protocol.report_seeds):
        reasons.append("fresh seeds: some of the report were used in tuning or in the search that found it")
    if strange := unknown(contender):
        reasons.append(f"held-out tasks: its search saw {', '.join(strange)}, whose family is not known here")
    others = [task for task, _ in studies if seen(contender, task) is None]
    families = sorted({task.family for task in others})
    if len(others) < LEAST_TASKS:
        reasons.append(
            f"held-out tasks: {len(others)} of the {len(studies)} are of families that its search has not seen, and a test over "
            f"tasks needs {LEAST_TASKS}"
        )
    elif len(families) < LEAST_FAMILIES:
        reasons.append(
            f"held-out families: all {len(others)} held-out tasks are of one, {families[0]}, and tasks of one family are no independent "
            f"evidence; {LEAST_FAMILIES} families are needed"
        )
    return reasons


def _missing_baselines(studies: Sequence[Study]) -> list[str]:
    reasons = []
    if not _everywhere([s for s in studies if is_tuned_adamw(s.contender)], studies):
        reasons.append(
            "AdamW with tuned decay and beta2 on every task, such as adamw(weight_decay=0.01|0|0.1, beta2=0.999|0.99|0.95)"
        )
    if not _everywhere([s for s in studies if is_rmsprop(s.contender)], studies):
        reasons.append("RMSProp(0.99) on every task: rmsprop")
    if not _everywhere([s for s in studies if s.schedule in DECAYING], studies):
        reasons.append(
            "a schedule that decays to zero on every task, such as momentum or powersign-ld with --schedule constant linear"
        )
    return reasons


def _everywhere(chosen: Sequence[Study], studies: Sequence[Study]) -> bool:
    """Whether some entry among the chosen ones has results as often as any entry has, which is on every task."""
    counts: dict[tuple[str, str], int] = {}
    for study in studies:
        key = study.contender.name, study.schedule
        counts[key] = counts.get(key, 0) + 1
    return any(counts[s.contender.name, s.schedule] == max(counts.values()) for s in chosen)


def is_tuned_adamw(contender: Contender) -> bool:
    several = {name for name, values in contender.axes if len(values) > 1}
    return contender.optimizer == "adamw" and {"weight_decay", "beta2"} <= several


def is_rmsprop(contender: Contender) -> bool:
    return contender.optimizer == "rmsprop" and dict(contender.axes).get("alpha", (ALPHA_RMSPROP,)) == (ALPHA_RMSPROP,)


def _unequal(studies: Sequence[Study], protocol: Protocol) -> list[str]:
    budgets = {len(study.tuning.results) for study in studies if study.tuning is not None}
    if protocol.trials is None or len(budgets) > 1:
        return [f"one budget of tuning for all: there are {' and '.join(map(str, sorted(budgets)))} trials"]
    return []
