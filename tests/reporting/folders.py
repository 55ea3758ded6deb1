"""Folders to report on: a small search that was really done, and an evaluation written as docs/evaluation.md describes."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from neuropt.evaluating.statistics import spread

TASKS = {
    "digits-conv": {"family": "vision", "metric": "accuracy", "higher_is_better": True, "steps": 200, "worst": 0.0},
    "quadratic": {"family": "synthetic", "metric": "loss", "higher_is_better": False, "steps": 100, "worst": 1e4},
}
OPTIMIZERS = ("adamw", "lion", "sgd")
SCHEDULES = ("constant", "cosine")
TUNE, REPORT = (11, 12, 13), (21, 22, 23, 24, 25, 26, 27, 28)
RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
EVALUATIONS = 5
HIGHEST = 0.5
"""From this learning rate on children diverge."""


@dataclass(frozen=True)
class Written:
    """An evaluation on disk, and what was put into it."""

    folder: Path
    children: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    summary: dict[str, Any]
    traces: list[dict[str, Any]]


def write_evaluation(
    folder: Path, optimizers: Sequence[str] = OPTIMIZERS, schedules: Sequence[str] = SCHEDULES, seed: int = 0
) -> Written:
    """Write an evaluation whose children follow a formula: best near 1e-2, diverged from `HIGHEST` on."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    children: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    budget: list[dict[str, Any]] = []
    for task in TASKS:
        for place, optimizer in enumerate(optimizers):
            for schedule in schedules:
                entry = {"task": task, "optimizer": optimizer, "schedule": schedule}
                tuned = _tune(entry, place, draw)
                reported = _report(entry, place, draw)
                children += tuned + reported
                curves += _curves(entry, reported)
                rows.append(_row(entry, reported, place))
                budget.append(entry | {"k": [1, 2, 3, 4, 5], "value": _expected(tuned, task)})
    _rank(rows)
    summary = _summary(rows, budget, optimizers, schedules)
    traces = _traces(rows, optimizers)
    for name, lines in (("children.csv", children), ("curves.csv", curves), ("traces.csv", traces)):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
    (folder / "summary.json").write_text(json.dumps(summary, allow_nan=False), encoding="utf-8")
    command = {"command": "neuropt evaluate adamw lion sgd --out comparison", "created": "2026-11-21T12:00:00+00:00"}
    (folder / "provenance.json").write_text(json.dumps(command), encoding="utf-8")
    return Written(folder, children, curves, summary, traces)


def _value(task: str, place: int, rate: float, draw: random.Random) -> float:
    """Accuracy falls, and loss grows, with the distance of the learning rate from 1e-2, in decades."""
    away = abs(math.log10(rate) + 2.0)
    if task == "quadratic":
        return 1e-3 * (1 + place) * 10 ** (1.5 * away) * draw.uniform(0.9, 1.1)
    return max(0.1, 0.95 - 0.01 * place - 0.2 * away + draw.uniform(-0.01, 0.01))


def _child(
    entry: dict[str, str], phase: str, trial: int | None, seed: int, rate: float, final: float
) -> dict[str, Any]:
    lost = rate >= HIGHEST or math.isnan(final)
    steps = TASKS[entry["task"]]["steps"]
    return {
        **{"task": entry["task"], "family": TASKS[entry["task"]]["family"]},
        **{"optimizer": entry["optimizer"], "schedule": entry["schedule"], "phase": phase},
        **{"trial": "" if trial is None else trial, "seed": seed, "learning_rate": rate, "hyperparameters": "{}"},
        **{
            "status": "diverged" if lost else "trained",
            "diverged": int(lost),
            "metric": TASKS[entry["task"]]["metric"],
        },
        **{"final": "" if lost else final, "best": "" if lost else final, "loss": "", "train_loss": ""},
        **{"test": "" if lost else final, "test_loss": "", "steps": steps, "gradients": 64 * int(str(steps))},
        **{"steps_to_target": "inf" if lost else "", "seconds": 0.5, "us_per_step": 20.0, "seen": ""},
    }


def _tune(entry: dict[str, str], place: int, draw: random.Random) -> list[dict[str, Any]]:
    return [
        _child(entry, "tune", trial, seed, rate, _value(entry["task"], place, rate, draw))
        for trial, rate in enumerate(RATES, 1)
        for seed in TUNE
    ]


def _report(entry: dict[str, str], place: int, draw: random.Random) -> list[dict[str, Any]]:
    lost = entry["optimizer"] == "sgd" and entry["task"] == "quadratic"  # its first seed diverges
    values = [_value(entry["task"], place, 1e-2, draw) for _ in REPORT]
    values[0] = math.nan if lost else values[0]
    return [_child(entry, "report", None, seed, 1e-2, value) for seed, value in zip(REPORT, values, strict=True)]


def _curves(entry: dict[str, str], reported: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = []
    for child in reported:
        for i in range(EVALUATIONS + 1):
            if child["diverged"] and i > 2:
                break
            final = 1.0 if child["diverged"] else child["final"]
            value = final * i / EVALUATIONS if entry["task"] == "digits-conv" else final * 10 ** (EVALUATIONS - i)
            step = child["steps"] * i // EVALUATIONS
            about = {"seed": child["seed"], "learning_rate": 1e-2, "step": step, "value": value}
            lines.append(entry | {"phase": "report"} | about)
    return lines


def _traces(rows: Sequence[dict[str, Any]], optimizers: Sequence[str]) -> list[dict[str, Any]]:
    """The first optimizer's updates fall from 100 by a tenth each time, the next one's from ten times that; cosines fall with them."""
    lines = []
    for row in rows:
        entry = {name: row[name] for name in ("task", "optimizer", "schedule")}
        place, steps = optimizers.index(row["optimizer"]), int(str(TASKS[row["task"]]["steps"]))
        for i in range(EVALUATIONS):
            about = {"seed": REPORT[0], "learning_rate": 1e-2, "step": steps * i // EVALUATIONS, "lr": 1e-2}
            norms = {"update_norm": 100 * 10.0 ** (place - i), "gradient_norm": 1.0}
            cosine = "" if i == 2 and place == 1 else 1 - 0.3 * i - 0.1 * place
            lines.append(entry | about | norms | {"cosine": cosine})
    return lines


def _row(entry: dict[str, str], reported: Sequence[dict[str, Any]], place: int) -> dict[str, Any]:
    worst = TASKS[entry["task"]]["worst"]
    values = [float(str(worst)) if child["diverged"] else child["final"] for child in reported]
    s, steps = spread(values), TASKS[entry["task"]]["steps"]
    against = {
        **{"reference": "adamw", "reference_schedule": entry["schedule"], "n": len(values)},
        **{"wins": 2, "ties": 0, "losses": 6, "difference": -0.01, "low": -0.02, "high": 0.001},
        **{"improvement": 0.2, "improvement_low": 0.1, "improvement_high": 0.4, "p": 0.04, "p_holm": 0.08},
        **{"words": "no difference shown"},
    }
    default = {"learning_rate": 1e-3, "n": 8, "diverged": 0, "median": s.median, "q1": s.q1, "q3": s.q3}
    return {
        **entry,
        **{"seen": None, "failure": None, "trials": len(RATES), "tune_seeds": len(TUNE), "learning_rate": 1e-2},
        **{"hyperparameters": {"beta2": 0.95} if place == 0 else {}, "edge": place == 1, "n": len(values)},
        **{"diverged": sum(child["diverged"] for child in reported), "median": s.median, "q1": s.q1, "q3": s.q3},
        **{"low": s.low, "high": s.high, "iqm": s.median, "iqm_low": s.low, "iqm_high": s.high},
        **{"best_median": s.median, "test_median": s.median, "test_q1": s.q1, "test_q3": s.q3},
        **{"test_low": s.low, "test_high": s.high, "loss_median": None, "rank": None},
        **{"target": {"value": s.median, "reached": 4, "n": 8, "median_steps": None, "median_seconds": None}},
        **{"default": {**default, "low": s.low, "high": s.high}, "against": None if place == 0 else against},
        "cost": {
            **{"us_per_step": 20.0 + place, "state_bytes_per_parameter": 8.0, "seconds_per_step": 0.0025},
            **{"steps": steps, "gradients": 64 * int(str(steps))},
        },
    }


def _rank(rows: list[dict[str, Any]]) -> None:
    for task, about in TASKS.items():
        mine = sorted((row for row in rows if row["task"] == task), key=lambda row: row["median"])
        if about["higher_is_better"]:
            mine.reverse()
        for rank, row in enumerate(mine, 1):
            row["rank"] = rank
    rows.sort(key=lambda row: (list(TASKS).index(row["task"]), row["rank"]))


def _expected(tuned: Sequence[dict[str, Any]], task: str) -> list[float]:
    """The expected best of k trials drawn without replacement: here the mean over all subsets of the sorted trials."""
    higher, worst = TASKS[task]["higher_is_better"], float(str(TASKS[task]["worst"]))
    means = []
    for trial in range(1, len(RATES) + 1):
        same = [child for child in tuned if child["trial"] == trial]
        means.append(fmean(worst if child["diverged"] else child["final"] for child in same))
    means.sort(reverse=not higher)  # the worst first: the i-th is the best of k in C(i, k - 1) subsets
    total = len(means)
    return [
        sum(math.comb(i, k - 1) * value for i, value in enumerate(means)) / math.comb(total, k)
        for k in range(1, total + 1)
    ]


def _summary(
    rows: list[dict[str, Any]], budget: list[dict[str, Any]], optimizers: Sequence[str], schedules: Sequence[str]
) -> dict[str, Any]:
    entries = [{"optimizer": o, "schedule": s} for o in optimizers for s in schedules]

    def mean_rank(entry: dict[str, str]) -> float:
        return median(float(r["rank"]) for r in rows if all(r[name] == value for name, value in entry.items()))

    ranks = [entry | {"mean_rank": float(mean_rank(entry)), "tasks": len(TASKS)} for entry in entries]
    tau = [1.0, 2.0, 4.0]
    return {
        "schema": 1,
        "protocol": {
            **{
                "seed": 0,
                "tune_seeds": list(TUNE),
                "report_seeds": list(REPORT),
                "grid": "decades",
                "trials": len(RATES),
            },
            **{"schedules": list(schedules), "evaluations": EVALUATIONS, "consecutive": 3, "reference": "adamw"},
            "profile": "quick",
        },
        "tasks": {
            name: about | {"description": name, "batch_size": 64, "target": 0.9, "target_from": "adamw"}
            for name, about in TASKS.items()
        },
        "optimizers": {o: {"rule": None, "default_lr": 1e-3, "tuned": {}, "searched": []} for o in optimizers},
        "rows": rows,
        "ranks": {
            "entries": ranks,
            "tasks": 2,
            "chi2": 1.0,
            "p": 0.6,
            "critical_difference": 5.3,
            "words": "n = 2 tasks",
        },
        "profile": {
            "tau": tau,
            "entries": [entry | {"share": [0.5, 0.5, 1.0]} for entry in entries],
            **{"tasks": len(TASKS), "words": ""},
        },
        "best_of_k": budget,
        "wins": [entry | {"wins": 0, "ties": 2, "losses": 0, "tasks": 2} for entry in entries],
        "grafting": None,
        "better": {"allowed": False, "missing": ["RMSProp(0.99) was not compared"]},
        "claims": ["lion is not shown to differ from adamw on digits-conv (n = 8 seeds, p = 0.08)"],
        "facts": {"torch": "2.13.0", "machine": "Linux x86_64"},
    }
