"""Archived results of tuned optimizers, so that a new rule is compared with them without tuning them again.

An archive is a folder: `protocol.toml` says how all of it was trained, and a JSON file a task holds its hashes, versions and children. It
stands for a training only where that would come out the same, so it is refused where data, first weights, seeds, budget, versions or
the code that trains differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuropt.evaluating.code_hash import CODE
from neuropt.evaluating.config import EvaluationConfig, read_fields
from neuropt.evaluating.contenders import find_contender
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.ladders import Ladder
from neuropt.evaluating.measure import five_digits
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.tuning import Trial, Tuning
from neuropt.tasks.task import Task
from neuropt.training.children import Child

PROTOCOL = "protocol.toml"
SHARED = (
    "schedule",
    "seeds",
    "tune_seeds",
    "trials",
    "grid",
    "reward",
    "evaluations",
    "consecutive",
    "steps",
    "seed",
    "form",
)
"""Fields of a configuration that an archive fixes."""
SCHEMA = 1

Archived = tuple[list[Study], dict[str, dict[str, Any]]]
"""Studies of a task, and costs by optimizer."""


class BaselineError(ValueError):
    """An archive that cannot stand for a training here: says what differs and what to do."""


# -- writing -----------------------------------------------------------------------------------------------------------------------


def write_baselines(folder: Path, evaluations: Sequence[Evaluation]) -> list[Path]:
    """Write the archive of evaluations of one protocol: optimizers with a name, which anybody can look up, and no found rules.

    Returns:
        the files, one a task and the protocol.

    Raises:
        BaselineError: facts without the hash of the code that a task was trained with, evaluations that differ in protocol, tasks or
            facts, or an optimizer in two of them.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        _check_alike(first, other)
    for task in first.tasks:
        if f"{task.name} {CODE}" not in first.facts:
            raise BaselineError(
                f"nobody recorded the code that {task.name} was trained with, so no archive can be made of it"
            )
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in _fixed(first).items() if value is not None)
    comment = "# How the archive beside this file was trained; `neuropt evaluate RULE --baselines DIR` follows it.\n\n"
    written = [folder / PROTOCOL]
    written[0].write_text(comment + text, encoding="utf-8")
    for task in first.tasks:
        studies = [study for found in evaluations for study in _named(found, task)]
        costs = {o: dict(cost) for found in evaluations for (t, o), cost in found.costs.items() if t == task.name}
        content = {
            "schema": SCHEMA,
            "key": _key(task, first.facts),
            "costs": {s.contender.name: costs[s.contender.name] for s in studies if s.contender.name in costs},
            "studies": [_study(study) for study in studies],
        }
        written.append(folder / f"{task.name}.json")
        written[-1].write_text(json.dumps(content, separators=(",", ":"), allow_nan=True) + "\n", encoding="utf-8")
    return written


def _check_alike(one: Evaluation, other: Evaluation) -> None:
    """Raise a BaselineError where one archive cannot hold both."""
    tasks = {task.name for task in one.tasks} ^ {task.name for task in other.tasks}
    if tasks:
        raise BaselineError(f"only one of the evaluations has the tasks {', '.join(sorted(tasks))}")
    here, there = (_fixed(found) | _keys(found) for found in (one, other))
    for name in here | there:  # the protocol first, since facts may differ on its account
        if here.get(name) != there.get(name):
            raise BaselineError(
                f"{name} is {here.get(name)} in one evaluation and {there.get(name)} in another; archive each by itself"
            )
    twice = _names(one) & _names(other)
    if twice:
        raise BaselineError(f"two evaluations hold {', '.join(sorted(twice))}; an archive has every optimizer once")


def _fixed(found: Evaluation) -> dict[str, Any]:
    return {name: value for name, value in asdict(found.config).items() if name in SHARED}


def _keys(found: Evaluation) -> dict[str, str]:
    return {f"{task.name} {name}": value for task in found.tasks for name, value in _key(task, found.facts).items()}


def _named(found: Evaluation, task: Task) -> list[Study]:
    """Return the studies on a task that an archive can hold."""
    of_task = [study for other, studies in found.studies for study in studies if other.name == task.name]
    return [study for study in of_task if study.contender.optimizer is not None and study.failure is None]


def _names(found: Evaluation) -> set[str]:
    return {study.contender.name for task in found.tasks for study in _named(found, task)}


def _key(task: Task, facts: Mapping[str, str]) -> dict[str, str]:
    """Return what must be equal: versions, hashes of the task and of the code that trains it, and its budget."""
    own = {
        name.removeprefix(f"{task.name} "): value for name, value in facts.items() if name.startswith(f"{task.name} ")
    }
    versions = {name: value for name, value in facts.items() if " " not in name}
    return versions | own | {"steps": str(task.steps), "batch_size": str(task.batch_size)}


def _study(study: Study) -> dict[str, Any]:
    assert study.tuning is not None
    return {
        "optimizer": study.contender.name,
        "schedule": study.schedule,
        "scale": study.tuning.ladder.scale,
        "trials": [
            {
                "rung": t.rung,
                "lr": t.learning_rate,
                "hyper": t.hyperparameters,
                "children": [_child(c, False) for c in row],
            }
            for t, row in study.tuning.results.items()
        ],
        "report": [_child(child, True) for child in study.report],
        "default": [_child(child, True) for child in study.default],
    }


def _child(child: Child, curve: bool) -> list[Any]:
    """Return a child as a list; what pairs are compared by keeps all its digits, curves keep five."""
    short = [[_rounded(x) for x in point] for point in child.curve] if curve else []
    head = [child.seed, child.status, child.steps, _rounded(child.train_loss), child.loss, child.accuracy]
    return [*head, child.test_loss, child.test_accuracy, _rounded(child.seconds), short]


def _rounded(value: float | None) -> float | None:
    return None if value is None else five_digits(value)


# -- reading -----------------------------------------------------------------------------------------------------------------------


def archive_fields(folder: Path) -> dict[str, Any]:
    """Return the fields that an archive fixes, and the tasks that it holds.

    Raises:
        BaselineError: no archive there.
    """
    if not (folder / PROTOCOL).is_file():
        raise BaselineError(f"{folder} holds no baselines: {folder / PROTOCOL} does not exist")
    names = sorted(path.stem for path in folder.glob("*.json"))
    return read_fields(folder / PROTOCOL) | {"tasks": tuple(names)}


def read_baselines(
    folder: Path, task: Task, config: EvaluationConfig, protocol: Protocol, facts: Mapping[str, str]
) -> Archived:
    """Return the archived studies and costs of a task.

    Raises:
        BaselineError: the task is not in it, it is damaged, or something differs here.
    """
    for name, value in read_fields(folder / PROTOCOL).items():
        here = getattr(config, name)
        if tuple(here) != tuple(value) if isinstance(value, list) else here != value:
            raise BaselineError(f"{folder} was made with {name} {value!r}, but here it is {here!r}; leave {name} out")
    path = folder / f"{task.name}.json"
    if not path.is_file():
        raise BaselineError(
            f"{folder} has no results on {task.name}; leave the task out, or evaluate without --baselines"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        key, studies = dict(content["key"]), [_read(study, task, protocol) for study in content["studies"]]
        costs = {str(name): dict(cost) for name, cost in content["costs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BaselineError(f"{path} is damaged, or no archive of results: {error}"[:300]) from None
    here_key = _key(task, facts)
    for name in sorted(key.keys() | here_key.keys()):
        if key.get(name) != here_key.get(name):
            what = "the code that trains children has changed: " if name == CODE else ""
            raise BaselineError(
                f"{path} cannot stand for a training here: {what}{name} was {key.get(name)}, but here it is {here_key.get(name)}; "
                "evaluate without --baselines, or where they are the same"
            )
    for study in studies:
        seeds = [child.seed for child in study.report]
        if seeds != list(protocol.report_seeds):
            raise BaselineError(f"{path} was made on other seeds; evaluate without --baselines")
    return studies, costs


def _read(values: Mapping[str, Any], task: Task, protocol: Protocol) -> Study:
    contender = find_contender(str(values["optimizer"]))
    tuning = Tuning(
        Ladder(protocol.grid, float(values["scale"])), contender.axes, protocol.trials, protocol.merit(task)
    )
    for trial in values["trials"]:
        hyper = tuple((str(name), float(value)) for name, value in trial["hyper"])
        rate = float(trial["lr"])
        tuning.results[Trial(int(trial["rung"]), rate, hyper)] = tuple(_child_of(c, rate) for c in trial["children"])
    report = tuple(_child_of(child, tuning.best.learning_rate) for child in values["report"])
    default = tuple(_child_of(child, contender.default_lr or 0.0) for child in values["default"])
    return Study(contender, str(values["schedule"]), tuning, report, default)


def _child_of(values: Sequence[Any], rate: float) -> Child:
    seed, status, steps, train_loss, loss, accuracy, test_loss, test_accuracy, seconds, curve = values
    points = tuple((float(x), None if y is None else float(y)) for x, y in curve)
    return Child(rate, seed, status, steps, train_loss, loss, accuracy, test_loss, test_accuracy, points, seconds)
