"""The rows of a summary: one an entry, numbers and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from neuropt.evaluating.against import Against
from neuropt.evaluating.entries import Entry, Key, label
from neuropt.evaluating.statistics import spread
from neuropt.evaluating.targets import Target
from neuropt.statistics.iqm import interquartile_mean, iqm_interval
from neuropt.statistics.ranks import ranks

Json = dict[str, Any]


def task_ranks(entries: Sequence[Entry]) -> list[float]:
    """Return the place of each entry of a task by its median, 1 for the best; failures share the last places."""
    return ranks([-entry.median_merit for entry in entries])


def row(
    entry: Entry,
    rank: float,
    target: Target | None,
    consecutive: int,
    cost: Mapping[str, Any] | None,
    against: Against | None,
    reference: Key,
) -> Json:
    """Return one row, as docs/evaluation.md says."""
    study = entry.study
    best, tuning = study.best, study.tuning
    found: Json = {
        "task": entry.task.name,
        "optimizer": entry.key[0],
        "schedule": entry.key[1],
        "seen": entry.seen,
        "failure": study.failure,
        "trials": 0 if tuning is None else len(tuning.results),
        "tune_seeds": len(entry.protocol.tune_seeds),
        "learning_rate": None if best is None else best.learning_rate,
        "hyperparameters": {} if best is None else dict(best.hyperparameters),
        "edge": tuning is not None and best is not None and tuning.edge,
        "n": len(study.report),
        "diverged": sum(child.status != "trained" for child in study.report),
        "rank": rank,
    }
    return (
        found
        | _numbers(entry)
        | {
            "target": None if target is None or entry.failed else _target(entry, target, consecutive, cost),
            "default": _default(entry),
            "cost": None if cost is None else dict(cost),
            "against": None if against is None else _against(entry, against, reference),
        }
    )


NUMBERS = ("median", "q1", "q3", "low", "high", "iqm", "iqm_low", "iqm_high", "best_median", "loss_median")
TEST = ("test_median", "test_q1", "test_q3", "test_low", "test_high")


def _numbers(entry: Entry) -> Json:
    if entry.failed:
        return dict.fromkeys((*NUMBERS, *TEST))
    children, measure = entry.study.report, entry.measure
    middle = iqm_interval(entry.finals) or (None, None)
    bests = [value for child in children if (value := measure.best(child)) is not None]  # the worst where it diverged
    losses = [child.loss if child.loss is not None else entry.task.loss_bound for child in children]
    found: Json = asdict(spread(entry.finals)) | {
        "iqm": interquartile_mean(entry.finals),
        "iqm_low": middle[0],
        "iqm_high": middle[1],
        "best_median": median(bests) if bests else None,
        "loss_median": median(losses),
    }
    return found | {f"test_{name}": v for name, v in asdict(spread([measure.test(c) for c in children])).items()}


def _target(entry: Entry, target: Target, consecutive: int, cost: Mapping[str, Any] | None) -> Json:
    steps = entry.steps_to(target.value, consecutive)
    middle = median(steps)
    reached = None if math.isinf(middle) else middle
    seconds = None if reached is None or cost is None else reached * cost["seconds_per_step"]
    return {
        "value": target.value,
        "reached": sum(math.isfinite(step) for step in steps),
        "n": len(steps),
        "median_steps": reached,
        "median_seconds": seconds,
    }


def _default(entry: Entry) -> Json | None:
    children = entry.study.default
    if not children:
        return None
    return {
        "learning_rate": entry.study.contender.default_lr,
        "n": len(children),
        "diverged": sum(child.status != "trained" for child in children),
    } | asdict(spread([entry.measure.final(child) for child in children]))


def _against(entry: Entry, against: Against, reference: Key) -> Json:
    return {
        "reference": reference[0],
        "reference_schedule": reference[1],
        "n": against.n,
        "wins": against.wins,
        "ties": against.ties,
        "losses": against.losses,
        "difference": against.difference.median,
        "low": against.difference.low,
        "high": against.difference.high,
        "improvement": against.improvement.share,
        "improvement_low": against.improvement.low,
        "improvement_high": against.improvement.high,
        "p": against.p,
        "p_holm": against.p_holm,
        "shown": against.shown,
        "words": against.words(entry.label, label(reference), entry.task.name),
    }
