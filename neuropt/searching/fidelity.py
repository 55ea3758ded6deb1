"""Who stops at a rung, and which rules are trained to the end whatever the rungs say.

halving    the best third of the rules of a trial that share a buffer goes on, whoever finishes when: one search, however many workers
asha       a rule goes on if it is in the best third of all that have reached the rung so far; the driver says so (`asha.py`)

Some rules, drawn by their number, are the control group: they are trained to the end and take no part in the comparisons. Only so can it be
seen whether a rung judges as full training does; rules that won their way to the end are a selection.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from neuropt.config import SearchConfig
from neuropt.searching.rewards import RewardRange, rule_reward
from neuropt.tasks.task import Task
from neuropt.training.forms import Form
from neuropt.training.rungs import ETA, Rungs
from neuropt.training.train import cohort_slices
from neuropt.training.work import Judge, Trained, Work

CONTROL_SHARE, CONTROL_RULES, MOST_SHARE = 0.05, 10, 0.25
"""The control group is this share of a search's rules; about ten rules where that is more; but at most a quarter."""


def is_control(rules: int, seed: int, proposal: int) -> bool:
    """Return whether a rule belongs to the control group of a search for so many rules; the same in one that goes on."""
    share = min(max(CONTROL_SHARE, CONTROL_RULES / rules), MOST_SHARE)
    return random.Random(f"control group {seed} {proposal}").random() < share


def check_competition(config: SearchConfig, task: Task, form: Form) -> None:
    """Refuse a search by halving in which fewer rules than ETA compete, so that none or every other would stop.

    Args:
        config: with a number of rules a trial.
        task, form: of the children.

    Raises:
        ValueError: a trial, or a buffer of it, holds too few rules.
    """
    if config.fidelity != "halving" or config.rules_per_trial == "auto":
        return
    slices = cohort_slices(task, [1] * config.rules_per_trial, 1, form, config.rules_together, side_by_side=True)
    least = min(part.stop - part.start for part in slices)
    if least < ETA:
        together = f", rules_together {config.rules_together}" if len(slices) > 1 else ""
        raise ValueError(
            f"fidelity halving needs at least {ETA} rules of a trial that share a buffer, but "
            f"rules_per_trial {config.rules_per_trial}{together} lets {least} compete"
        )


def judge_of(work: Work, task: RewardRange, ask: Callable[[Trained], bool] | None = None) -> Judge | None:
    """Return who says which rules of a work stop at its rungs; None where it has none.

    Args:
        work: rungs and jobs.
        task: which rewards there are.
        ask: of an asynchronous work, whether a rule that has come so far stops.

    Raises:
        ValueError: an asynchronous work where nobody can be asked.
    """
    if work.rungs is None:
        return None
    if not work.rungs.asynchronous:
        return halving(work.rungs, task)
    if ask is None:
        raise ValueError("rungs that are asynchronous need the Tune executor, which knows what other rules came to")
    return lambda _, candidates: [candidate is not None and ask(candidate) for candidate in candidates]


def halving(rungs: Rungs, task: RewardRange) -> Judge:
    """Return a judge that lets the best ceil(n / 3) of the n rules in competition go on, ties by lower loss, then by age."""

    def judge(work: Work, candidates: Sequence[Trained | None]) -> Sequence[bool]:
        pairs = enumerate(zip(work.jobs, candidates, strict=True))
        ranks = {i: _rank(found, task, rungs) for i, (job, found) in pairs if found is not None and not job.control}
        lost = sorted(ranks, key=lambda i: ranks[i])[math.ceil(len(ranks) / ETA) :]
        return [i in lost for i in range(len(candidates))]

    return judge


def _rank(found: Trained, task: RewardRange, rungs: Rungs) -> tuple[float, float]:
    row = rule_reward(0, found, task, rungs.reward)
    return -row.reward, math.inf if row.loss is None else row.loss
