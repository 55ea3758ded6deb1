"""How many rules a trial trains together, so that what Ray costs is little beside them: `--rules-per-trial auto`."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace

from neuropt.config import SearchConfig
from neuropt.searching.engine import BATCHED
from neuropt.tasks.task import Task, TaskData
from neuropt.training.learning_rates import learning_rates
from neuropt.training.rungs import ETA, RUNGS
from neuropt.training.work import Job, Work, do_work
from search_space import zoo

TRIAL_SECONDS = 0.03
"""What a trial costs beyond its training: Tune's driver, the messages between worker and guard (docs/performance.md)."""
SHARE = 0.03
"""How much of a trial that may be."""
MOST = 200
TRIALS_A_WORKER = 4
"""At least so many, so that workers end together and the controller learns meanwhile."""
COMPETING = ETA**RUNGS
"""At least so many rules where those of a trial are compared: one comes to the end."""
TIMED_RULES = ("momentum", "adam", "rmsprop", "powersign")
TIMED_STEPS = 10


def with_trial_size(config: SearchConfig, task: Task, data: TaskData) -> SearchConfig:
    """Return the configuration with a number where `rules_per_trial` is auto, from the time that known rules take here; 1 for ASHA."""
    if config.fidelity == "asha":
        return replace(config, rules_per_trial=1)  # Tune's scheduler stops whole trials
    if config.rules_per_trial != "auto":
        return config
    workers = config.workers or os.cpu_count() or 1
    rules = trial_size(_rule_seconds(config, task, data), config.rules, workers)
    return replace(config, rules_per_trial=max(rules, COMPETING) if config.fidelity == "halving" else rules)


def trial_size(rule_seconds: float, rules: int, workers: int) -> int:
    """Return the least N with TRIAL_SECONDS <= SHARE * N * rule_seconds, and no more than leaves every worker some trials.

    >>> trial_size(0.05, rules=2_000, workers=2), trial_size(60.0, rules=100, workers=2), trial_size(0.05, rules=16, workers=2)
    (20, 1, 2)
    """
    enough = math.ceil(TRIAL_SECONDS / SHARE / max(rule_seconds, 1e-6) - 1e-9)
    return max(1, min(enough, MOST, rules // (TRIALS_A_WORKER * workers)))


def _rule_seconds(config: SearchConfig, task: Task, data: TaskData) -> float:
    """Return about how long a rule trains: a few steps of known rules, all learning rates, times the budget."""
    known, rates = zoo(), learning_rates(config.grid, 1.0)
    work = Work(
        tuple(Job(known[name].text, rates) for name in TIMED_RULES),
        tuple(range(config.child_seeds)),
        halving=False,
        batched=BATCHED[config.batched],
        form=None if config.form == "auto" else config.form,
        device=config.device,
        precision=config.precision,
    )
    short = task.with_budget(min(TIMED_STEPS, task.steps))
    do_work(work, short, data)  # what is slow but once: imports, caches
    began = time.process_time()  # of this process, whatever else runs on the machine
    do_work(work, short, data)
    return (time.process_time() - began) / len(TIMED_RULES) * task.steps / short.steps
