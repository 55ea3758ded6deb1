"""Targets, costs, curves and grafted pairs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.evaluating.contenders import find_contender
from neuropt.evaluating.cost import measure_cost
from neuropt.evaluating.entries import entries_of
from neuropt.evaluating.grafting import MEMBERS, grafted
from neuropt.evaluating.grafting_table import grafting_table
from neuropt.evaluating.measure import Measure
from neuropt.evaluating.targets import target_of
from neuropt.optimizers import AdaGraft
from neuropt.tasks import load_task_data
from neuropt.training.curves import evaluation_steps
from neuropt.training.work import Done, Job, Work, do_work
from search_space import zoo
from tests.evaluating.fakes import MODULE_TASK
from tests.evaluating.written_studies import PROTOCOL, TASK, child, studies, study, task

# -- time to target ----------------------------------------------------------------------------------------------------------------


def reached(*curve: float, consecutive: int = 2, value: float | None = 0.9) -> float:
    """With four evaluations of 150 steps these are at 0, 38, 75, 112 and 150."""
    return Measure(TASK, "accuracy").steps_to(0.9, child(value, 1, curve), 4, consecutive)


def test_a_target_is_reached_where_so_many_evaluations_in_a_row_are() -> None:
    assert reached(0.1, 0.9, 0.95, 0.8, 0.9) == 38.0
    assert reached(0.1, 0.9, 0.8, 0.9, 0.91) == 112.0, "once is luck"
    assert reached(0.1, 0.9, 0.8, 0.9, 0.91, consecutive=1) == 38.0
    assert reached(0.1, 0.2, 0.3, 0.4, 0.95) == math.inf, "a miss is infinite"
    assert reached(0.95, 0.95, 0.95, value=None) == math.inf, "and so is a child that diverged"


def test_a_loss_reaches_its_target_from_above() -> None:
    measure = Measure(TASK, "loss")
    falling = replace(child(0.5, 1), curve=((2.0, None), (1.0, None), (0.5, None), (0.4, None), (0.3, None)))
    assert measure.steps_to(0.5, falling, 4, 2) == 75.0
    assert (measure.best(falling), measure.worst, measure.merit(2.0)) == (0.3, TASK.loss_bound, -2.0)


def test_the_target_is_the_tasks_own_or_that_of_the_best_tuned_baseline() -> None:
    values = [[0.5, 0.6, 0.7, 0.8], [0.6, 0.7, 0.8, 0.9], [1.0] * 4]
    found = [study(name, numbers) for name, numbers in zip(("sgd", "adam", "g * m"), values, strict=True)]
    entries = entries_of([(task("a", "b"), found)], PROTOCOL)
    target = target_of(entries[0].task, entries)
    assert target is not None
    assert target.value == pytest.approx(0.75), "the median of adam; a rule of somebody's is no baseline"
    assert target.origin == "the median of adam at the end, n = 4"
    own = target_of(replace(entries[0].task, target=0.97), entries)
    assert own is not None
    assert (own.value, own.origin) == (0.97, "the task's own")
    by_loss = entries_of([(replace(TASK, target=0.97), found)], replace(PROTOCOL, reward="loss"))
    other = target_of(by_loss[0].task, by_loss)
    assert other is not None
    assert other.origin.startswith("the median of "), "an accuracy is no loss"


# -- curves ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "job"), [(TASK, Job("adam", (1e-2, 1e8))), (MODULE_TASK, Job(None, (1e-2, 1e8), "adam"))]
)
def test_looking_at_a_child_on_its_way_does_not_change_it(where: object, job: Job) -> None:
    short = (TASK if where is TASK else MODULE_TASK).with_budget(12)
    data = load_task_data(short)
    plain = Work((job,), (1, 2), halving=False, test=True)
    (blind,), (seen,) = (do_work(w, short, data).trained for w in (plain, replace(plain, evaluations=4)))
    for one, other in zip(blind.children, seen.children, strict=True):
        assert [replace(c, curve=()) for c in other] == list(one)
    steps = evaluation_steps(12, 4)
    for c in seen.children[0]:
        assert len(c.curve) == len(steps) == 5
        assert c.curve[-1] == (c.loss, c.accuracy)
        assert c.curve[0][0] == pytest.approx(math.log(10), rel=0.2), "before training"
        assert c.seconds > 0
    for c in seen.children[1]:
        assert c.status == "diverged"
        assert 1 <= len(c.curve) < 5, "it ends where the child diverged"
        assert all(loss <= TASK.loss_bound for loss, _ in c.curve)


def test_curves_survive_json_and_are_left_out_where_there_are_none() -> None:
    work = Work((Job("g", (0.1,)),), (1,), halving=False, evaluations=3)
    assert Work.from_json(work.to_json()) == work
    short = TASK.with_budget(6)
    done = do_work(work, short, load_task_data(short))
    assert Done.from_json(done.to_json()) == done
    assert Done.from_json(done.to_json()).trained[0].children[0][0].seconds > 0
    blind = replace(work, evaluations=0)
    assert "evaluations" not in blind.to_json()
    assert "curve" not in do_work(blind, short, load_task_data(short)).to_json()


# -- cost --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bytes_a_parameter"), [("sgd", 0), ("momentum", 4), ("adam", 8), ("g * sign(m)", 4)])
def test_a_cost_counts_what_is_remembered(name: str, bytes_a_parameter: int) -> None:
    cost = measure_cost(find_contender(name), TASK, load_task_data(TASK))
    assert cost.state_bytes_per_parameter == pytest.approx(bytes_a_parameter)
    assert 0 < cost.us_per_step < 1e6 * cost.seconds_per_step
    assert (cost.steps, cost.gradients) == (150, 150 * 64)


# -- grafting ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magnitude", "direction"), [("sgd", "adam"), ("adam", "momentum"), ("adagrad", "rmsprop"), ("yogi", "sgd")]
)
def test_a_pair_is_adagrafts(magnitude: str, direction: str) -> None:
    from neuropt.optimizers.catalogue import named_optimizers

    def child_of(name: str) -> tuple[str, dict[str, float]]:
        return name, {"lr": 1.0, **({"momentum": 0.9} if name == "momentum" else {})}

    weights = [torch.nn.Parameter(torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)) for _ in range(2)]
    rule = grafted(zoo()[magnitude], zoo()[direction])
    ours = RuleOptimizer([weights[0]], rule, lr=0.01)
    theirs = AdaGraft([weights[1]], magnitude=child_of(magnitude), direction=child_of(direction), lr=0.01)
    assert {magnitude, direction} <= set(named_optimizers())
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        gradient = torch.randn(6, generator=generator, dtype=torch.float64)
        for weight, optimizer in zip(weights, (ours, theirs), strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    assert torch.allclose(weights[0], weights[1], rtol=1e-6, atol=1e-9)


def test_rows_that_are_alike_are_seen_and_so_are_rows_that_are_not() -> None:
    def table(accuracy: dict[str, float], by: int) -> str:
        found = [
            study(f"graft({m}, {d})", [accuracy[(m, d)[by]] + 0.001 * i for i in range(6)])
            for m in MEMBERS
            for d in MEMBERS
        ]
        content = grafting_table(entries_of(studies({"a b": found}), PROTOCOL))
        assert content is not None
        assert content["magnitudes"] == content["directions"] == list(MEMBERS)
        return str(content["words"])

    accuracy = {name: 0.5 + i / 20 for i, name in enumerate(MEMBERS)}
    assert "n = 1 task, 36 pairs: the magnitude explains 100% of the variance of mean ranks" in table(accuracy, by=0)
    assert "rows cluster by magnitude (p = 0.0001)" in table(accuracy, by=0)
    assert "rows do not cluster more than chance would have it" in table(accuracy, by=1)


def test_a_table_with_a_hole_is_none() -> None:
    found = [study(name, [0.5] * 6) for name in ("graft(sgd, sgd)", "graft(sgd, adam)", "graft(adam, sgd)")]
    assert grafting_table(entries_of(studies({"a b": found}), PROTOCOL)) is None
