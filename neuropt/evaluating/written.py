"""The files of an evaluation: every child, learning curve and trace as CSV, the summary and the provenance as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuropt.evaluating.entries import Entry
from neuropt.evaluating.targets import Target
from neuropt.evaluating.tracing import Trace
from neuropt.evaluating.tuning import Hyperparameters
from neuropt.tasks.task import Task
from neuropt.training.children import Child
from neuropt.training.curves import evaluation_steps
from neuropt.writing import whole_file

CHILDREN, CURVES, TRACES = "children.csv", "curves.csv", "traces.csv"
SUMMARY, PROVENANCE = "summary.json", "provenance.json"
FILES = (CHILDREN, CURVES, TRACES, SUMMARY, PROVENANCE)

CHILD_COLUMNS = (
    *("task", "family", "optimizer", "schedule", "phase", "trial", "seed", "learning_rate", "hyperparameters"),
    *("status", "diverged", "metric", "final", "best", "loss", "train_loss", "test", "test_loss", "steps", "gradients"),
    *("steps_to_target", "seconds", "us_per_step", "seen"),
)
CURVE_COLUMNS = ("task", "optimizer", "schedule", "phase", "seed", "learning_rate", "step", "value")
TRACE_COLUMNS = (
    *("task", "optimizer", "schedule", "seed", "learning_rate", "step", "lr", "update_norm", "gradient_norm", "cosine"),
)

Line = dict[str, object]


def child_lines(
    entry: Entry, target: Target | None, consecutive: int, cost: Mapping[str, Any] | None
) -> Iterator[Line]:
    """Yield every child of an entry as one record."""
    us = None if cost is None else cost["us_per_step"]
    for phase, trial, hyperparameters, child in _children(entry):
        steps = None
        if target is not None and phase != "tune":
            steps = entry.measure.steps_to(target.value, child, entry.protocol.evaluations, consecutive)
        trained = child.status == "trained"
        yield {
            "task": entry.task.name,
            "family": entry.task.family,
            "optimizer": entry.key[0],
            "schedule": entry.key[1],
            "phase": phase,
            "trial": trial,
            "seed": child.seed,
            "learning_rate": child.learning_rate,
            "hyperparameters": json.dumps(dict(hyperparameters)),
            "status": child.status,
            "diverged": int(not trained),
            "metric": entry.measure.metric,
            "final": entry.measure.final(child),
            "best": entry.measure.best(child) if phase != "tune" else None,
            "loss": child.loss,
            "train_loss": child.train_loss,
            "test": entry.measure.test(child) if phase != "tune" else None,
            "test_loss": child.test_loss,
            "steps": child.steps,
            "gradients": child.steps * entry.task.batch_size,
            "steps_to_target": steps,
            "seconds": f"{child.seconds:.3g}" if phase != "tune" else None,
            "us_per_step": us,
            "seen": entry.seen,
        }


def _children(entry: Entry) -> Iterator[tuple[str, int | None, Hyperparameters, Child]]:
    study = entry.study
    trials = study.tuning.results.items() if study.tuning is not None else ()
    for number, (trial, children) in enumerate(trials, 1):
        for child in children:
            yield "tune", number, trial.hyperparameters, child
    chosen = study.best.hyperparameters if study.best is not None else ()
    for child in study.report:
        yield "report", None, chosen, child
    for child in study.default:
        yield "default", None, (), child


def curve_lines(entry: Entry) -> Iterator[Line]:
    """Yield every point of the learning curves of an entry."""
    steps = evaluation_steps(entry.task.steps, entry.protocol.evaluations)
    for phase, children in (("report", entry.study.report), ("default", entry.study.default)):
        for child in children:
            head: Line = {"task": entry.task.name, "optimizer": entry.key[0], "schedule": entry.key[1], "phase": phase}
            head |= {"seed": child.seed, "learning_rate": child.learning_rate}
            for step, value in zip(steps, entry.measure.curve(child), strict=False):
                yield head | {"step": step, "value": value}


def trace_lines(task: Task, trace: Trace) -> Iterator[Line]:
    """Yield every moment of a trace."""
    head: Line = {"task": task.name, "optimizer": trace.optimizer, "schedule": trace.schedule}
    head |= {"seed": trace.seed, "learning_rate": trace.learning_rate}
    for moment in trace.moments:
        yield head | asdict(moment)


def write_csv(path: Path, columns: Iterable[str], lines: Iterable[Line]) -> None:
    """Write records; an absent number is empty, infinity is `inf`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(lines)


def write_json(path: Path, value: object) -> None:
    """Write JSON, whole or not at all; all numbers in it must be finite."""
    with whole_file(path) as file:
        file.write(to_json(value).encode())


def to_json(value: object) -> str:
    """Return a value as JSON text."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def check_out(folder: Path) -> None:
    """Make the folder of an evaluation, before anything is trained.

    Raises:
        ValueError: it holds an evaluation already, or cannot be written.
    """
    for name in (*FILES, "ledger.sqlite", "config.toml"):
        if (folder / name).exists():
            raise ValueError(f"{folder / name} exists already; go on with it by --resume, or choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SUMMARY).touch()
        (folder / SUMMARY).unlink()
    except OSError as error:
        raise ValueError(f"{folder} cannot be written: {error.strerror or error}") from None
