"""An evaluation as a report reads it: the files that docs/evaluation.md describes, checked while they are read.

A missing number is None; infinity in a CSV file is a miss or a divergence.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from neuropt.reporting.evaluation_records import (
    Against,
    ChildRow,
    Default,
    Entry,
    EntryRow,
    EvaluationData,
    Middle,
    Point,
    Step,
    Target,
    TaskFacts,
)

SUMMARY, PROVENANCE = "summary.json", "provenance.json"
CHILDREN, CURVES, TRACES = "children.csv", "curves.csv", "traces.csv"
SCHEMA = 1
csv.field_size_limit(1 << 20)


def read_evaluation(folder: Path) -> EvaluationData:
    """Read the folder of an evaluation.

    Raises:
        ValueError: a file that is missing, damaged, or of another schema; in one line.
    """
    summary = _json(folder / SUMMARY)
    if summary.get("schema") != SCHEMA:
        raise ValueError(
            f"{folder / SUMMARY} has schema {summary.get('schema')!r:.40}, but this neuropt reads schema {SCHEMA}"
        )
    provenance = _json(folder / PROVENANCE) if (folder / PROVENANCE).is_file() else {}
    values = _reading(folder / SUMMARY, lambda: _summary(summary))
    strange = [row.task for row in values["rows"] if row.task not in values["tasks"]]
    if strange:
        raise ValueError(
            f"{folder / SUMMARY} is damaged: a row is of task {strange[0]!r:.60}, which is not among its tasks"
        )
    children = _csv(folder / CHILDREN, _child)
    if not children and any(row.n for row in values["rows"]):
        raise ValueError(f"{folder / CHILDREN} is damaged, or not of an evaluation: it holds no child")
    return EvaluationData(
        folder=folder,
        command=str(provenance.get("command", "")),
        children=children,
        curves=_csv(folder / CURVES, _point) if (folder / CURVES).is_file() else (),
        traces=_csv(folder / TRACES, _step) if (folder / TRACES).is_file() else None,
        **values,
    )


# ---- files

Read = TypeVar("Read")


def _reading(path: Path, read: Callable[[], Read]) -> Read:
    """Turn whatever is not as described into one line that names the file."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged, or not of an evaluation: {what:.200}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, or not of an evaluation: {str(error).splitlines()[0]:.200}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged, or not of an evaluation: it holds no object")
    return found


def _csv(path: Path, read: Callable[[dict[str, str]], Read]) -> tuple[Read, ...]:
    def lines() -> Iterator[Read]:
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                yield read(line)

    try:
        return _reading(path, lambda: tuple(lines()))
    except csv.Error as error:
        raise ValueError(f"{path} is damaged, or not of an evaluation: {error}") from None


# ---- values


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.40} is no number")
    return float(value) if math.isfinite(value) else None


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r:.40} is no whole number")
    return value


def _cell(text: str) -> float | None:
    value = float(text) if text else math.inf
    return value if math.isfinite(value) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _known(value: float | None, what: str) -> float:
    if value is None:
        raise ValueError(f"{what} is missing")
    return value


def _middle(row: Mapping[str, Any], prefix: str = "") -> Middle:
    names = ("median", "q1", "q3", "low", "high")
    return Middle(*(_number(row.get(prefix + name)) for name in names))


# ---- records


def _summary(summary: Mapping[str, Any]) -> dict[str, Any]:
    ranks, profile = summary["ranks"] or {}, summary["profile"] or {}
    return {
        "protocol": dict(summary["protocol"]),
        "tasks": {str(name): _task(str(name), task) for name, task in summary["tasks"].items()},
        "rules": {str(name): about.get("rule") for name, about in summary["optimizers"].items()},
        "rows": tuple(_row(row) for row in summary["rows"]),
        "ranks": tuple(
            (_entry(e), _known(_number(e["mean_rank"]), "mean_rank"), _whole(e["tasks"]))
            for e in ranks.get("entries", ())
        ),
        "critical_difference": _number(ranks.get("critical_difference")),
        "rank_p": _number(ranks.get("p")),
        "rank_words": _text(ranks.get("words")),
        "tau": tuple(_known(_number(tau), "tau") for tau in profile.get("tau", ())),
        "profile": tuple(
            (_entry(e), tuple(_known(_number(s), "share") for s in e["share"])) for e in profile.get("entries", ())
        ),
        "profile_words": _text(profile.get("words")),
        "best_of_k": tuple(
            (str(b["task"]), _entry(b), tuple(float(_whole(k)) for k in b["k"]), tuple(_number(v) for v in b["value"]))
            for b in summary["best_of_k"] or ()
        ),
        "wins": {
            _entry(w): (_whole(w["wins"]), _whole(w["ties"]), _whole(w["losses"]), _whole(w["tasks"]))
            for w in summary["wins"] or ()
        },
        "grafting": _grafting(summary.get("grafting")),
        "missing": tuple(str(reason) for reason in (summary.get("better") or {}).get("missing", ())),
        "claims": tuple(str(claim) for claim in summary["claims"]),
        "facts": {str(name): _text(fact) for name, fact in (summary.get("facts") or {}).items()},
    }


def _entry(row: Mapping[str, Any]) -> Entry:
    return str(row["optimizer"]), str(row["schedule"])


def _task(name: str, task: Mapping[str, Any]) -> TaskFacts:
    higher = task["higher_is_better"]
    if not isinstance(higher, bool):
        raise TypeError(f"higher_is_better of {name} is no truth value")
    worst = _number(task.get("worst"))
    return TaskFacts(name, _text(task.get("family")), str(task["metric"]), higher, _whole(task["steps"]), worst)


def _row(row: Mapping[str, Any]) -> EntryRow:
    return EntryRow(
        task=str(row["task"]),
        optimizer=str(row["optimizer"]),
        schedule=str(row["schedule"]),
        seen=_text(row.get("seen")),
        failure=_text(row.get("failure")),
        trials=_whole(row["trials"]),
        learning_rate=_number(row["learning_rate"]),
        hyperparameters=dict(row.get("hyperparameters") or {}),
        edge=bool(row["edge"]),
        n=_whole(row["n"]),
        diverged=_whole(row["diverged"]),
        final=_middle(row),
        iqm=Middle(_number(row.get("iqm")), low=_number(row.get("iqm_low")), high=_number(row.get("iqm_high"))),
        best=_number(row.get("best_median")),
        test=_middle(row, "test_"),
        rank=_number(row.get("rank")),
        target=_target(row.get("target")),
        default=_default(row.get("default")),
        cost={str(name): _number(value) for name, value in (row.get("cost") or {}).items()},
        against=_against(row.get("against")),
    )


def _target(target: Mapping[str, Any] | None) -> Target | None:
    if not target or target.get("value") is None:
        return None
    steps, seconds = _number(target.get("median_steps")), _number(target.get("median_seconds"))
    return Target(_number(target["value"]), _whole(target["reached"]), _whole(target["n"]), steps, seconds)


def _default(default: Mapping[str, Any] | None) -> Default | None:
    if not default:
        return None
    rate = _number(default["learning_rate"])
    return Default(rate, _whole(default["n"]), _whole(default["diverged"]), _middle(default))


def _against(against: Mapping[str, Any] | None) -> Against | None:
    if not against:
        return None
    difference = Middle(_number(against["difference"]), low=_number(against["low"]), high=_number(against["high"]))
    seeds = _whole(against["wins"]), _whole(against["ties"]), _whole(against["losses"])
    improvement, p = _number(against["improvement"]), _number(against["p_holm"])
    reference = str(against["reference"]), _text(against.get("reference_schedule"))
    return Against(*reference, *seeds, difference, improvement, p, _text(against["words"]))


def _grafting(grafting: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if not grafting:
        return None
    names = {axis: [str(name) for name in grafting[axis]] for axis in ("magnitudes", "directions")}
    ranks = [[_number(value) for value in row] for row in grafting["mean_ranks"]]
    if [len(names["directions"])] * len(names["magnitudes"]) != [len(row) for row in ranks]:
        raise ValueError("mean_ranks of grafting do not fit magnitudes and directions")
    return names | {"mean_ranks": ranks, "words": _text(grafting.get("words")), "tasks": len(grafting["tables"])}


def _child(line: dict[str, str]) -> ChildRow:
    rate = _known(_cell(line["learning_rate"]), "learning_rate")
    if rate <= 0:
        raise ValueError(f"learning_rate must be positive, but is {rate}")
    trial = int(line["trial"]) if line["trial"] else None
    names = line["task"], line["optimizer"], line["schedule"], line["phase"]
    return ChildRow(*names, trial, rate, line["diverged"] == "1", _cell(line["final"]))


def _point(line: dict[str, str]) -> Point:
    names = line["task"], line["optimizer"], line["schedule"], line["phase"]
    return Point(*names, int(line["seed"]), int(line["step"]), _cell(line["value"]))


def _step(line: dict[str, str]) -> Step:
    names = line["task"], line["optimizer"], line["schedule"]
    return Step(*names, int(line["seed"]), int(line["step"]), _cell(line["update_norm"]), _cell(line["cosine"]))
