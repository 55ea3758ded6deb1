"""The named schedules against their formulas, written down by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import optim

from neuropt.optimizers.growing_batch import GrowingBatch
from neuropt.optimizers.named_schedules import create_schedule, named_schedules, rate_factors
from neuropt.optimizers.snapshots import SnapshotLR


def cosine(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


# at T = 40: t -> lr over its start
EXPECTED: dict[str, dict[int, float]] = {
    "constant": {0: 1.0, 39: 1.0},
    "step": {13: 1.0, 14: 0.1, 27: 0.1, 28: 0.01},  # ceil(40/3) = 14 steps each
    "multistep": {19: 1.0, 20: 0.1, 29: 0.1, 30: 0.01},
    "exponential": {0: 1.0, 20: 0.1},  # 100^(-1/2)
    "linear": {0: 1.0, 10: 0.75, 39: 1 / 40},
    "cosine": {0: 1.0, 20: 0.5, 10: cosine(1 / 4)},
    "warmup-cosine": {0: 1 / 5, 3: 4 / 5, 4: 1.0, 22: 0.5},  # W = 4, then 36 steps of cosine: t = 4 + 18 is its middle
    "one-cycle": {0: 1 / 25, 40 * 3 // 10: 0.999},  # the top lies at 0.3 * 41 - 1 = 11.3
    "cyclic": {0: 0.1, 5: 1.0, 10: 0.1, 15: 1.0},  # ceil(40/8) = 5 steps up, 5 down
    "sgdr": {0: 1.0, 3: 0.5, 6: 1.0, 12: 0.5, 18: 1.0, 30: 0.5},  # T_0 = 6, then 12 and 24
    "noam": {0: 1 / 4, 1: 2 / 4, 3: 1.0, 15: 0.5},  # W = 4: t/W, then sqrt(W/t) at t = 16
    "linear-cosine": {0: 1.001, 20: 0.5 * 0.5 + 0.001},
    "noisy-linear-cosine": {},  # tests/optimizers/test_schedules.py
}


@pytest.mark.parametrize("name", EXPECTED)
def test_factors_are_those_of_the_formula(name: str) -> None:
    factors = rate_factors(name, steps=40)
    assert len(factors) == 40
    for t, expected in EXPECTED[name].items():
        assert factors[t] == pytest.approx(expected, abs=1e-3 if name == "one-cycle" else 1e-12), t


def test_a_schedule_of_lr_is_in_the_table_above() -> None:
    assert {name for name, row in named_schedules().items() if row.moves == "lr"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED.keys() - {"noisy-linear-cosine", "linear-cosine"})
def test_the_largest_rate_is_the_one_that_the_optimizer_starts_with(name: str) -> None:
    assert max(rate_factors(name, steps=400)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 150])
@pytest.mark.parametrize("name", named_schedules())
def test_any_budget_will_do(name: str, steps: int) -> None:
    one, other = (torch.ones(1, requires_grad=True) for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": [one]}, {"params": [other], "lr": 0.2}]
    optimizer = optim.SGD(groups, lr=0.1)
    schedule = create_schedule(name, optimizer, steps)
    for _ in range(steps):
        assert optimizer.param_groups[1]["lr"] == pytest.approx(2 * optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_normalized_restarts_write_weight_decay_where_there_is_one() -> None:
    adamw = optim.AdamW([torch.ones(1, requires_grad=True)], weight_decay=0.6)
    create_schedule("normalized-restarts", adamw, steps=63)
    assert adamw.param_groups[0]["weight_decay"] == pytest.approx(0.6 / 3)  # T_0 = 63/7 = 9 steps


def test_a_snapshot_training_has_five_cycles_and_a_short_one_fewer() -> None:
    optimizer = optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    schedules = {steps: create_schedule("snapshot", optimizer, steps) for steps in (150, 7)}
    cycles = {steps: schedule.cycles for steps, schedule in schedules.items() if isinstance(schedule, SnapshotLR)}
    assert cycles == {150: 5, 7: 4}  # 5 cycles of ceil(7/5) = 2 steps do not fit into 7


def test_a_growing_batch_grows_tenfold_where_multistep_divides_by_ten() -> None:
    optimizer = optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    batches = GrowingBatch(create_schedule("growing-batch", optimizer, steps=4), batch_size=2, examples=1000)
    sizes = []
    for _ in range(4):
        sizes.append((batches.batch_size, round(optimizer.param_groups[0]["lr"], 6)))
        optimizer.step()
        batches.step()
    assert sizes == [
        (2, 0.1),
        (2, 0.1),
        (20, 0.1),
        (100, 0.05),
    ]  # 200 is more than a tenth of 1,000: lr makes up for it


def test_what_does_not_exist_is_refused() -> None:
    optimizer = optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ValueError, match="unknown schedule 'cosin'; choose one of constant, step"):
        create_schedule("cosin", optimizer, steps=10)
    with pytest.raises(ValueError, match=r"create_schedule\(steps=...\).*0"):
        create_schedule("cosine", optimizer, steps=0)
    with pytest.raises(ValueError, match="'snapshot' moves lr, with snapshots"):
        rate_factors("snapshot", steps=10)
