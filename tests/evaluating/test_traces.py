"""Traces: how long updates are and how far they follow the gradient, against numbers worked by hand."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.evaluating.baselines import write_baselines
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.tracing import Moment, Watch, trace_child
from neuropt.searching.ledger_file import LedgerError
from neuropt.tasks import batch_order, build_model, get_task, load_task_data
from neuropt.training.work import Job
from search_space import parse_rule
from tests.evaluating.fakes import MODULE_TASK

FLOAT32 = 1e-4
"""What w - lr u keeps of u: half an ulp of w, 6e-8, over lr u, in these examples 1e-3 and more."""


def measured(optimizer: torch.optim.Optimizer, w: torch.nn.Parameter, *gradients: list[float]) -> Moment | None:
    """The last of so many steps."""
    watch = Watch(optimizer)
    for gradient in gradients:
        watch.look()
        w.grad = torch.tensor(gradient)
        optimizer.step()
    return watch.seen(len(gradients) - 1)


def parameter(*values: float) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))


def rule(text: str, w: torch.nn.Parameter, lr: float = 0.5) -> torch.optim.Optimizer:
    return RuleOptimizer([w], parse_rule(text), lr=lr)


def test_descent_goes_down_the_gradient_at_its_own_length() -> None:
    w = parameter(1.0, 1.0)
    assert measured(torch.optim.SGD([w], lr=0.5), w, [3.0, 4.0]) == Moment(0, 0.5, 5.0, 5.0, 1.0)


def test_signs_are_as_long_as_the_root_of_the_number_of_weights() -> None:
    w = parameter(1.0, 1.0, 1.0, 1.0)
    found = measured(rule("sign(g)", w), w, [1.0, -2.0, 2.0, -4.0])  # |g| = 5, u . g = 1 + 2 + 2 + 4 = 9
    assert found is not None
    assert found.update_norm == 2.0
    assert found.cosine == pytest.approx(9 / (2 * 5))


def test_ascent_goes_uphill() -> None:
    w = parameter(1.0, 1.0)
    found = measured(rule("-2 * g", w), w, [3.0, 4.0])
    assert found == Moment(0, 0.5, 10.0, 5.0, -1.0)


def test_momentum_turns_slowly() -> None:
    w = parameter(1.0, 1.0)
    # u_2 = 0.5 (1, 0) + (0, 1): |u|^2 = 1.25, u . g = 1
    found = measured(torch.optim.SGD([w], lr=0.5, momentum=0.5), w, [1.0, 0.0], [0.0, 1.0])
    assert found is not None
    assert (found.step, found.update_norm, found.cosine) == pytest.approx((1, math.sqrt(1.25), 1 / math.sqrt(1.25)))


def test_decay_of_weights_is_part_of_what_is_applied() -> None:
    w = parameter(4.0, 0.0)
    # u = g + 0.25 w = (1, 1)
    found = measured(torch.optim.SGD([w], lr=0.5, weight_decay=0.25), w, [0.0, 1.0])
    assert found is not None
    assert (found.update_norm, found.cosine) == pytest.approx((math.sqrt(2), 1 / math.sqrt(2)))


def test_several_tensors_are_one_vector_and_one_without_a_gradient_is_left_out() -> None:
    w, b, still = parameter(1.0), parameter(1.0), parameter(7.0)
    optimizer = torch.optim.SGD([w, b, still], lr=0.5)
    b.grad = torch.tensor([4.0])
    assert measured(optimizer, w, [3.0]) == Moment(0, 0.5, 5.0, 5.0, 1.0)


def test_a_flat_place_has_no_direction_and_a_rate_of_zero_no_length() -> None:
    w = parameter(1.0, 1.0)
    assert measured(torch.optim.SGD([w], lr=0.5), w, [0.0, 0.0]) == Moment(0, 0.5, 0.0, 0.0, None)
    assert measured(torch.optim.SGD([w], lr=0.0), w, [3.0, 4.0]) is None


def test_double_precision_is_measured_too() -> None:
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = torch.optim.SGD([w], lr=0.5)
    watch = Watch(optimizer)
    watch.look()
    w.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    optimizer.step()
    assert watch.seen(0) == Moment(0, 0.5, 5.0, 5.0, 1.0)


# -- along a training --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("schedule", "lr"), [("constant", [0.01] * 4), ("linear", [0.01, 0.0075, 0.005, 0.0025])])
def test_lengths_are_per_unit_of_learning_rate_whatever_the_schedule(schedule: str, lr: list[float]) -> None:
    task = get_task("quadratic-ill").with_budget(8)  # 64 weights
    data = load_task_data(task)
    found = trace_child(Job("sign(g)", (0.01,)), task, data, 3, schedule, 4)
    assert [moment.step for moment in found] == [0, 2, 4, 6]
    assert [moment.lr for moment in found] == pytest.approx(lr)
    assert [moment.update_norm for moment in found] == pytest.approx([8.0] * 4, rel=FLOAT32)
    plain = trace_child(Job("g", (0.01,)), task, data, 3, schedule, 4)
    assert [moment.cosine for moment in plain] == pytest.approx([1.0] * 4, rel=FLOAT32)
    assert [moment.update_norm for moment in plain] == pytest.approx([m.gradient_norm for m in plain], rel=FLOAT32)


def test_a_trace_is_that_of_a_plain_loop() -> None:
    task, seed, lr = MODULE_TASK, 5, 0.003
    data = load_task_data(task)
    model = build_model(task, seed).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    expected = []
    for batch in batch_order(len(data.train), task.batch_size, task.steps, seed):
        optimizer.zero_grad()
        task.loss(model(data.train.inputs[batch]), data.train.targets[batch]).backward()
        w, g = (torch.cat([x.detach().flatten() for x in xs]).double() for xs in _both(model))
        optimizer.step()
        u = (w - torch.cat([p.detach().flatten() for p in model.parameters()]).double()) / lr
        expected.append((float(u.norm()), float(g.norm()), float(u @ g / (u.norm() * g.norm()))))
    found = trace_child(Job(None, (lr,), "adam"), task, data, seed, "constant", task.steps)
    assert [(m.update_norm, m.gradient_norm, m.cosine) for m in found] == [pytest.approx(e) for e in expected]


def _both(model: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    parameters = list(model.parameters())
    return list(parameters), [p.grad for p in parameters if p.grad is not None]


def test_a_trace_ends_where_its_child_diverges() -> None:
    task = get_task("quadratic-ill").with_budget(40)
    found = trace_child(Job("-g", (1e6,)), task, load_task_data(task), 3, "constant", 40)
    assert 1 <= len(found) < 40
    assert all(math.isfinite(value) for m in found for value in (m.update_norm, m.gradient_norm))


def test_where_batches_grow_the_next_step_is_measured() -> None:
    found = trace_child(Job("sign(g)", (0.01,)), MODULE_TASK, load_task_data(MODULE_TASK), 3, "growing-batch", 2)
    assert [moment.step for moment in found] == [0, 2]


# -- in an evaluation --------------------------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {"seeds": 3, "tune_seeds": 1, "steps": 6, "evaluations": 3, "schedule": ("constant", "linear")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    folder = tmp_path_factory.mktemp("traced") / "whole"
    return folder, evaluate(["sgd", "sign(g)", "1e-3 * w"], ["quadratic-ill"], out=folder, **SMALL)


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "traces.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_reported_entry_is_traced_at_its_best_trial_on_the_first_report_seed(
    whole: tuple[Path, Evaluation],
) -> None:
    folder, found = whole
    best = {(row.optimizer, row.schedule): row.learning_rate for row in found.rows if row.failure is None}
    written = lines(folder)
    assert {(line["optimizer"], line["schedule"]) for line in written} == best.keys(), "a failure has no trace"
    for (optimizer, schedule), rate in best.items():
        own = [line for line in written if (line["optimizer"], line["schedule"]) == (optimizer, schedule)]
        assert [int(line["step"]) for line in own] == [0, 2, 4]
        assert {int(line["seed"]) for line in own} == {found.protocol.report_seeds[0]}
        assert {float(line["learning_rate"]) for line in own} == {rate} == {float(own[0]["lr"])}
        assert (float(own[-1]["lr"]) < float(own[0]["lr"])) == (schedule == "linear")
    signs = [float(line["update_norm"]) for line in written if line["optimizer"] == "sign(g)"]
    assert signs == pytest.approx([8.0] * 6, rel=FLOAT32)


def test_entries_whose_best_trials_are_one_training_share_its_trace(tmp_path: Path) -> None:
    found = evaluate(
        ["adamw", "adamw(weight_decay=0.01)"],
        tasks=["digits-mlp"],  # an MLP, where AdamW is trained as its rule
        steps=10,
        seeds=1,
        tune_seeds=1,
        trials=5,
        executor="in-process",
        out=tmp_path / "two",
    )
    ((_, (one, other)),) = found.traces
    assert one.moments == other.moments
    assert one.moments
    again = evaluate(out=tmp_path / "two", resume=True)
    assert again.traces == found.traces


def traces_in(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        query = "SELECT count(*) FROM evaluation_works WHERE work LIKE '{\"trace\"%'"
        return int(connection.execute(query).fetchone()[0])


def test_an_evaluation_from_before_there_were_traces_gets_them_and_changes_in_nothing_else(
    whole: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    folder = tmp_path / "old"
    shutil.copytree(whole[0], folder)
    assert traces_in(folder) == 4
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        connection.execute("DELETE FROM evaluation_works WHERE work LIKE '{\"trace\"%'")
        (facts,) = connection.execute("SELECT facts FROM environments").fetchone()
        old = {name: value for name, value in json.loads(facts).items() if not name.endswith("code_sha256")}
        connection.execute("UPDATE environments SET facts = ?", (json.dumps(old),))
    before = {name: (folder / name).read_bytes() for name in ("children.csv", "curves.csv", "traces.csv")}
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "traces.csv").unlink()
    again = evaluate(out=folder, resume=True)
    assert again.rows == whole[1].rows
    assert {name: (folder / name).read_bytes() for name in before} == before
    now = json.loads((folder / "summary.json").read_text())
    assert {**now, "facts": {}} == {**summary, "facts": {}}
    assert not any(name.endswith("code_sha256") for name in now["facts"]), "nobody knows what code trained it"
    assert traces_in(folder) == 4


def test_a_trace_that_is_recorded_is_not_trained_again(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        done = json.dumps({"moments": [[0, 0.5, 123.0, 1.0, None]]})
        connection.execute("UPDATE evaluation_works SET done = ? WHERE work LIKE '{\"trace\"%'", (done,))
    evaluate(out=folder, resume=True)
    assert {line["update_norm"] for line in lines(folder)} == {"123.0"}
    assert {line["cosine"] for line in lines(folder)} == {""}


@pytest.mark.parametrize("done", ["{}", '{"moments": [[1]]}', '{"moments": [["a", 1, 1, 1, 1]]}', "5"])
def test_a_damaged_trace_is_one_clear_line(whole: tuple[Path, Evaluation], tmp_path: Path, done: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE evaluation_works SET done = ? WHERE work LIKE '{\"trace\"%'", (done,))
    with pytest.raises(
        LedgerError, match=r"is damaged: row \d+ of table evaluation_works, of quadratic-ill, cannot be read"
    ):
        evaluate(out=folder, resume=True)


def test_what_comes_from_an_archive_has_no_trace(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    found = whole[1]
    write_baselines(tmp_path / "archive", [found])
    again = evaluate(["g * 3"], baselines=tmp_path / "archive")
    ((_, traces),) = again.traces
    assert {trace.optimizer for trace in traces} == {"g * 3"}
    assert {row.optimizer for row in again.rows} == {"g * 3", "sgd"}
