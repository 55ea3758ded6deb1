"""Children under schedules: both cohorts agree, and each course is the loop that a user of torch would write."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.compiling.create import create_optimizer
from neuropt.compiling.program import compile_program
from neuropt.optimizers.growing_batch import GrowingBatch
from neuropt.optimizers.named_schedules import create_schedule, named_schedules
from neuropt.optimizers.snapshots import SnapshotEnsemble, SnapshotLR
from neuropt.tasks import batch_order, build_model, cross_entropy
from neuropt.training.children import Child
from neuropt.training.one_at_a_time import OneAtATime
from neuropt.training.population import Population
from neuropt.training.train import is_batched, rule_factory, train_optimizer, train_rules
from neuropt.training.work import Job, Work, do_work
from search_space import parse_rule
from tests.training.cohorts import DATA, DIGITS, RULES, curves, doubled

TASK = DIGITS.with_budget(30)
SEED, RATE = 5, 0.01
RATES = [name for name, row in named_schedules().items() if row.moves == "lr"]
OTHERS = sorted(named_schedules().keys() - set(RATES))


@pytest.mark.parametrize("schedule", RATES)
def test_a_population_follows_a_schedule_as_one_at_a_time_does(schedule: str) -> None:
    rules = [
        parse_rule(RULES[name])
        for name in ("gradient", "adam", "linear decay", "drop", "reads lr", "remembers lr", "average by lr")
    ]
    rates, task = [(0.01, 0.02)] * len(rules), TASK.with_budget(20)
    programs = [compile_program(rule) for rule in rules]
    together = Population(task, DATA, programs, rates, [1, 2], dtype=torch.float64, curves=True, schedule=schedule)
    exact = doubled(task)
    factories = [rule_factory(rule, task.steps) for rule in rules]
    alone = OneAtATime(exact, DATA, factories, rates, [1, 2], curves=True, schedule=schedule)
    ones, others = curves(together, task.steps), curves(alone, task.steps)
    for key, curve in others.items():
        torch.testing.assert_close(ones[key], curve, rtol=1e-9, atol=1e-9, msg=f"{key}")


def test_schedules_change_what_is_learned() -> None:
    losses = {
        schedule: train_rules(TASK, DATA, [parse_rule("g")], [[0.5]], [1], schedule=schedule)[0][0][0].loss
        for schedule in ("constant", "linear", "cosine", "snapshot", "growing-batch")
    }
    assert len(set(losses.values())) == len(losses)


class Loop:
    """The loop of a user of torch."""

    def __init__(self, optimizer: str, schedule: str) -> None:
        self.model = build_model(TASK, SEED)
        self.optimizer: Optimizer = create_optimizer(optimizer, self.model.parameters(), lr=RATE)
        self.schedule = create_schedule(schedule, self.optimizer, TASK.steps)

    def step(self, chosen: Tensor) -> None:
        self.optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(self.model(DATA.train.inputs[chosen]), DATA.train.targets[chosen]))
        self.optimizer.step()


def child(optimizer: str, schedule: str) -> Child:
    results = train_optimizer(
        TASK,
        DATA,
        lambda parameters, lr, seed: create_optimizer(optimizer, parameters, lr=lr),
        [RATE],
        [SEED],
        schedule=schedule,
        halving=False,
    )
    return results[0][0][0]


def loss_of(model: nn.Module) -> float:
    with torch.no_grad():
        return cross_entropy(model(DATA.validation.inputs), DATA.validation.targets).item()


@pytest.mark.parametrize("optimizer", ["adamw", "sgdw"])
def test_normalized_restarts_are_the_scheduler_after_each_step(optimizer: str) -> None:
    loop = Loop(optimizer, "normalized-restarts")
    for chosen in batch_order(len(DATA.train), TASK.batch_size, TASK.steps, SEED):
        loop.step(chosen)
        loop.schedule.step()
    assert child(optimizer, "normalized-restarts").loss == pytest.approx(loss_of(loop.model), rel=1e-6)


def test_snapshots_predict_together() -> None:
    loop = Loop("adam", "snapshot")
    ensemble = SnapshotEnsemble(loop.model, last=3)
    for chosen in batch_order(len(DATA.train), TASK.batch_size, TASK.steps, SEED):
        loop.step(chosen)
        loop.schedule.step()
        assert isinstance(loop.schedule, SnapshotLR)
        if loop.schedule.cycle_ended:
            ensemble.collect()
    loss, _ = ensemble.evaluate(DATA.validation.inputs, DATA.validation.targets)
    assert child("adam", "snapshot").loss == pytest.approx(loss, rel=1e-6)
    assert loss != pytest.approx(loss_of(loop.model), rel=1e-3), "the last model alone says something else"


def test_growing_batches_see_the_examples_of_the_budget_in_fewer_steps() -> None:
    loop = Loop("adam", "growing-batch")
    batches = GrowingBatch(loop.schedule, TASK.batch_size, len(DATA.train), seed=SEED)
    sizes: list[int] = []
    while sum(sizes) < TASK.steps * TASK.batch_size:
        for chosen in batches:
            if sum(sizes) >= TASK.steps * TASK.batch_size:
                break
            loop.step(torch.tensor(chosen))
            batches.advance(len(chosen))
            sizes.append(len(chosen))
    assert set(sizes) == {64, 100}  # a tenth of 1,000 is the largest
    assert len(sizes) == 15 + 10  # 15 * 64 = 960 examples at first, and 960 more in batches of 100
    found = child("adam", "growing-batch")
    assert found.loss == pytest.approx(loss_of(loop.model), rel=1e-6)
    assert found.steps == TASK.steps, "steps are counted in batches of the task"


@pytest.mark.parametrize("schedule", OTHERS)
def test_what_moves_more_than_lr_is_trained_one_at_a_time(schedule: str) -> None:
    assert is_batched(TASK)
    assert not is_batched(TASK, schedule)
    with pytest.raises(ValueError, match=f"'{schedule}' is trained one at a time"):
        train_rules(TASK, DATA, [parse_rule("g")], [[0.1]], [1], batched=True, schedule=schedule)


def test_a_piece_of_work_carries_its_schedule() -> None:
    work = Work((Job("g", (0.1,)), Job(None, (0.1,), "sgd")), (1,), halving=False)
    constant, linear = (
        do_work(Work.from_json(replace(work, schedule=name).to_json()), TASK, DATA) for name in ("constant", "linear")
    )
    for one, other in zip(constant.trained, linear.trained, strict=True):
        assert one.children[0][0].loss != other.children[0][0].loss
    rule, optimizer = (trained.children[0][0].loss for trained in linear.trained)
    assert rule == pytest.approx(optimizer, rel=1e-4)
