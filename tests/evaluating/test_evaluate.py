"""Small evaluations and finalists, trained for real."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import neuropt
from neuropt.config import SearchConfig
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.finalists import BUILT_INS, finalists
from neuropt.evaluating.row import Row
from neuropt.optimizers import named_optimizers, named_schedules
from neuropt.searching.engine import child_seeds
from neuropt.searching.executor import InProcessExecutor
from neuropt.searching.search import run_search
from neuropt.tasks import get_task, load_task_data, register_task
from search_space import parse_rule
from tests.evaluating.fakes import MODULE_TASK

PHASES = ("tune", "report", "default")
SMALL: dict[str, Any] = {"seeds": 2, "tune_seeds": 1, "steps": 5}
register_task(MODULE_TASK)


def test_an_evaluation_from_names_to_files(tmp_path: Path) -> None:
    out, said = tmp_path / "new" / "evaluation", list[str]()
    found = evaluate(
        ["adam", "adabound", "g * exp(sign(g) * sign(m))", "1e-3 * w"],
        ["digits-mlp", "digits-module"],
        out=out,
        progress=said.append,
        **SMALL,
    )
    assert [row.task for row in found.rows] == ["digits-mlp"] * 4 + ["digits-module"] * 4
    assert [row.failure is None for row in found.rows] == [True, True, True, False] * 2
    assert all(row.n == 2 for row in found.rows if row.failure is None)
    assert said[-1] == "digits-module: 3 optimizers reported on 2 seeds"
    with (out / "children.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    named = 2 * 2  # adam and adabound on two tasks have a default learning rate, of which two seeds are reported
    assert len(lines) == sum(row.rates * 1 + row.n for row in found.rows) + named * 2
    assert {row.rates for row in found.rows if row.failure is None} == {9}, "one budget for all"
    seeds = {phase: {line["seed"] for line in lines if line["phase"] == phase} for phase in PHASES}
    assert (len(seeds["tune"]), len(seeds["report"])) == (1, 2)
    assert seeds["default"] == seeds["report"]
    assert not seeds["tune"] & seeds["report"]
    assert all((line["test_loss"] == "") == (line["phase"] == "tune") for line in lines if line["status"] == "trained")
    summary = json.loads((out / "summary.json").read_text())
    assert summary == json.loads(found.to_json())
    assert summary["tasks"]["digits-mlp"]["steps"] == 5
    assert len(summary["facts"]["digits-mlp data_sha256"]) == 64


def test_a_rule_that_a_search_found_is_marked_and_gets_other_seeds(tmp_path: Path) -> None:
    config = SearchConfig(
        space="tiny", groups=1, rules=3, steps=5, finalists=0, child_seeds=2, executor="in-process", controller="random"
    )
    run = run_search(config, tmp_path / "run")
    found = evaluate([f"{run}:1", "adam"], ["digits-mlp", "digits-module"], **SMALL)
    marked = {(row.task, row.optimizer) for row in found.rows if row.searched}
    assert marked == {("digits-mlp", "run:1")}
    assert not set(child_seeds(config)) & {*found.protocol.tune_seeds, *found.protocol.report_seeds}


def test_decays_are_told_the_planned_steps() -> None:
    found = evaluate(["powersign-ld", "addsign-cd"], ["digits-mlp", "digits-module"], **SMALL)
    assert [row.failure for row in found.rows] == [None] * 4


def test_it_is_the_same_again() -> None:
    one, other = (evaluate(["adam", "drop(g, 0.5)"], ["digits-mlp"], **SMALL) for _ in range(2))
    assert without_clock(one.summary) == without_clock(other.summary)
    another = evaluate(["adam", "drop(g, 0.5)"], ["digits-mlp"], seed=1, **SMALL)
    assert without_clock(one.summary)["rows"] != without_clock(another.summary)["rows"]


def without_clock(value: Any) -> Any:
    """A summary less what a clock was read for."""
    if isinstance(value, dict):
        return {k: without_clock(v) for k, v in value.items() if k not in ("cost", "median_seconds")}
    return [without_clock(v) for v in value] if isinstance(value, list) else value


def test_the_others_do_not_change_an_optimizer_by_more_than_rounding() -> None:
    alone = evaluate("adam", "digits-mlp", **SMALL).rows[0]
    together = evaluate(["sgd", "adam", "lion"], "digits-mlp", **SMALL).rows
    (same,) = [row for row in together if row.optimizer == "adam"]
    assert same.learning_rate == alone.learning_rate
    assert same.loss is not None
    assert alone.loss is not None
    assert same.loss.median == pytest.approx(alone.loss.median, rel=1e-5)


def test_a_rule_and_its_class_agree() -> None:
    """On a task that is not batched, `adam` is the hand-coded class and its text is the rule."""
    rule = neuropt.zoo()["adam"]
    found = evaluate(["adam", rule], ["digits-module"], **SMALL).rows
    assert found[0].loss is not None
    assert found[1].loss is not None
    assert found[0].loss.median == pytest.approx(found[1].loss.median, rel=1e-4)


def test_optimizers_are_compared_by_seed() -> None:
    found = evaluate(["adam", "-g"], ["digits-mlp"], seeds=6, tune_seeds=1, steps=20, reward="loss")
    better = found.compare("digits-mlp", "adam", "-g")
    assert (better.wins, better.losses) == (6, 0)
    assert better.p == pytest.approx(2 / 64)
    with pytest.raises(ValueError, match="optimizer 'sgd' has no results on digits-mlp"):
        found.compare("digits-mlp", "sgd", "adam")
    with pytest.raises(ValueError, match="task 'x' is not in this evaluation"):
        found.compare("x", "sgd", "adam")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizers": ["adam", "adamm"]}, "adamm"),
        ({"optimizers": ["adam", "adam"]}, "'adam' is given twice"),
        ({"optimizers": []}, r"evaluate\(optimizers=...\) must name at least one"),
        ({"optimizers": ["runs/none:1"]}, "runs/none"),
        ({"tasks": ["digits-mlp", "digit-mlp"]}, "unknown task 'digit-mlp'"),
        ({"tasks": ["digits-mlp", "digits-mlp"]}, "task 'digits-mlp' is given twice"),
        ({"tasks": []}, r"evaluate\(tasks=...\) must name at least one"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, but got 0"),
        ({"tune_seeds": True}, "tune_seeds must be a whole number"),
        ({"steps": -1}, "steps must be a whole number"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"grid": "log"}, "grid must be one of centred, scaled, paper, but got 'log'"),
        ({"reward": "speed"}, "reward must be one of accuracy, loss"),
        ({"executor": "cloud"}, "executor must be one of tune, in-process"),
        ({"address": "here:1"}, "address needs executor tune"),
        ({"workers": 2}, "workers needs executor tune, but got executor in-process"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"optimizers": ["adam"], "tasks": ["digits-mlp"], "steps": 10**9} | change
    with pytest.raises(ValueError, match=message):  # with a billion steps, training would never end
        evaluate(arguments.pop("optimizers"), arguments.pop("tasks"), **arguments)


def test_what_is_no_list_is_said_by_its_argument() -> None:
    with pytest.raises(TypeError, match=r"evaluate\(schedule=...\) must be a name or several, but got 3"):
        evaluate("sgd", "digits-mlp", schedule=3, steps=10**9)  # type: ignore[arg-type]


def test_an_evaluation_is_not_overwritten(tmp_path: Path) -> None:
    evaluate("sgd", "digits-mlp", out=tmp_path, **SMALL)
    before = (tmp_path / "children.csv").read_bytes()
    with pytest.raises(ValueError, match="exists already; go on with it by --resume, or choose another --out"):
        evaluate("sgd", "digits-mlp", out=tmp_path, seeds=1, tune_seeds=1, steps=10**9)
    assert (tmp_path / "children.csv").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        evaluate("sgd", "digits-mlp", out=tmp_path / "file", steps=10**9)


def test_finalists_stand_beside_all_built_ins() -> None:
    task, data = get_task("digits-mlp").with_budget(5), load_task_data(get_task("digits-mlp"))
    found = [("RUN:1", parse_rule("drop(g, 0.1)")), ("RUN:2", parse_rule("-g"))]
    rows = finalists(found, task, data, InProcessExecutor(task, data), report_seeds=3, tune_seeds=2, used_seeds=[0])
    assert Counter(row.optimizer for row in rows) == Counter([*BUILT_INS, "RUN:1", "RUN:2"])
    assert {(row.n, row.tune_seeds) for row in rows} == {(3, 2)}
    assert {row.optimizer for row in rows if row.searched} == {"RUN:1", "RUN:2"}
    medians = [row.accuracy.median if row.accuracy else -math.inf for row in rows]
    assert medians == sorted(medians, reverse=True)
    assert [Row.from_json(row.to_json()) for row in rows] == rows


def test_schedules_are_an_axis(tmp_path: Path) -> None:
    names, said = ("constant", "cosine", "growing-batch"), list[str]()
    found = evaluate(["sgd", "adabound"], ["digits-mlp"], schedule=names, out=tmp_path, progress=said.append, **SMALL)
    assert Counter((row.optimizer, row.schedule) for row in found.rows) == Counter(
        (optimizer, name) for optimizer in ("sgd", "adabound") for name in names
    )
    assert said[-1] == "digits-mlp: 2 optimizers under 3 schedules reported on 2 seeds"
    assert all(row.failure is None and row.n == 2 for row in found.rows)
    with (tmp_path / "children.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert Counter(line["schedule"] for line in lines).keys() == set(names)
    assert json.loads((tmp_path / "summary.json").read_text())["protocol"]["schedules"] == list(names)
    seeds = {frozenset(child.seed for child in study.report) for study in found.studies[0][1]}
    assert len(seeds) == 1, "the same seeds under every schedule"
    paired = found.compare("digits-mlp", "sgd", "sgd", "cosine", "constant")
    assert paired.wins + paired.ties + paired.losses == 2
    with pytest.raises(ValueError, match=r"compare\(schedule=...\) must name one of constant, cosine, growing-batch"):
        found.compare("digits-mlp", "sgd", "adabound")
    with pytest.raises(ValueError, match="schedule 'linear' is not in this evaluation"):
        found.compare("digits-mlp", "sgd", "adabound", "linear")


def test_one_schedule_may_be_named_alone() -> None:
    found = evaluate("sgd", "digits-mlp", schedule="linear", **SMALL)
    assert [row.schedule for row in found.rows] == ["linear"]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "unknown schedule 'cosin'"),
        (("step", "step"), "'step' is given twice"),
        ((), "must name at least one"),
    ],
)
def test_bad_schedules_are_refused_before_anything_is_trained(schedule: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("sgd", "digits-mlp", schedule=schedule, out=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("schedule", named_schedules())
def test_every_optimizer_trains_under_every_schedule(schedule: str) -> None:
    small: dict[str, Any] = {"seeds": 1, "tune_seeds": 1, "trials": 5, "steps": 8}
    found = evaluate(list(named_optimizers()), "digits-mlp", schedule=schedule, **small)
    assert {row.optimizer: row.failure for row in found.rows} == dict.fromkeys(named_optimizers())


def test_a_rule_without_weight_decay_has_nothing_to_normalize() -> None:
    rows = evaluate("sign(g)", "digits-mlp", schedule=["normalized-restarts", "sgdr"], **SMALL).rows
    normalized, plain = sorted(rows, key=lambda row: row.schedule)
    assert (normalized.failure, plain.failure) == (None, None)
    assert normalized.loss is not None
    assert plain.loss is not None
    assert normalized.loss.median == pytest.approx(plain.loss.median, rel=1e-3)  # one at a time, and batched
