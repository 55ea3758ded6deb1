"""Warm restarts with the weight decay of AdamWR and SGDWR."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim import SGD, Adagrad, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from neuropt.optimizers import SGDW, NormalizedWarmRestarts


def parameter() -> Tensor:
    return torch.ones(2, requires_grad=True)


def adamw(lr: Any = 0.5, weight_decay: float = 0.1) -> Optimizer:
    return AdamW([parameter()], lr=lr, weight_decay=weight_decay)


def decays(schedule: NormalizedWarmRestarts, count: int, group: int = 0) -> list[float]:
    """The weight decay of each of the next steps."""
    found = []
    for _ in range(count):
        found.append(schedule.optimizer.param_groups[group]["weight_decay"])
        schedule.optimizer.step()
        schedule.step()
    return found


def test_each_cycle_has_the_decay_of_its_length() -> None:
    # lambda_norm sqrt(b / (B T_i)): cycles of 4, 16 and 64 steps are T_i B/b, so 0.1/2, 0.1/4, 0.1/8
    schedule = NormalizedWarmRestarts(adamw(), T_0=4, T_mult=4)
    assert decays(schedule, 24) == pytest.approx([0.05] * 4 + [0.025] * 16 + [0.0125] * 4, rel=1e-15)


def test_epochs_and_batches_say_the_same() -> None:
    # 1,000 examples in batches of 40 are 25 steps an epoch; T_i = 4 epochs are 100 steps: 0.1 sqrt(40 / (1000 * 4)) = 0.1/10
    by_epoch = NormalizedWarmRestarts(adamw(), T_0=4, T_mult=2, steps_per_epoch=1000 / 40)
    by_batch = NormalizedWarmRestarts(adamw(), T_0=100, T_mult=2)
    first = decays(by_epoch, 12)
    assert first[:4] == pytest.approx([0.1 * math.sqrt(40 / (1000 * 4))] * 4, rel=1e-15)
    assert first[4:] == pytest.approx([0.1 * math.sqrt(40 / (1000 * 8))] * 8, rel=1e-15)
    assert decays(by_batch, 300)[::25] == pytest.approx(first, rel=1e-15)


def test_the_rate_is_torchs_own() -> None:
    optimizer, plain = adamw(), adamw()
    schedule = NormalizedWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=0.01)
    torchs = CosineAnnealingWarmRestarts(plain, T_0=3, T_mult=2, eta_min=0.01)
    for _ in range(25):
        assert optimizer.param_groups[0]["lr"] == plain.param_groups[0]["lr"]
        for stepped in (optimizer, schedule, plain, torchs):
            stepped.step()


def test_the_decay_reaches_the_weights() -> None:
    # zero gradients leave AdamW w (1 - lr weight_decay): lr = 0.5, then 0.5 (1 + cos(pi/2))/2 = 0.25; decay 0.08/sqrt(2) twice
    optimizer = adamw(lr=0.5, weight_decay=0.08)
    (w,) = optimizer.param_groups[0]["params"]
    schedule = NormalizedWarmRestarts(optimizer, T_0=2)
    for _ in range(2):
        w.grad = torch.zeros(2)
        optimizer.step()
        schedule.step()
    expected = (1 - 0.5 * 0.08 / math.sqrt(2)) * (1 - 0.25 * 0.08 / math.sqrt(2))
    torch.testing.assert_close(w.detach(), torch.full((2,), expected))


def test_sgdw_with_the_papers_decay_is_sgdwr() -> None:
    # w - eta_t lambda w at zero gradients, eta_t = (1 + cos(pi t/2))/2 = 1, 1/2, whatever lr is; lambda = 0.2/sqrt(2)
    w = parameter()
    optimizer = SGDW([w], lr=0.125, weight_decay=0.2, decay="schedule")
    schedule = NormalizedWarmRestarts(optimizer, T_0=2)
    for _ in range(2):
        w.grad = torch.zeros(2)
        optimizer.step()
        schedule.step()
    expected = (1 - 0.2 / math.sqrt(2)) * (1 - 0.5 * 0.2 / math.sqrt(2))
    torch.testing.assert_close(w.detach(), torch.full((2,), expected))


def test_every_group_has_its_own_and_zero_stays_zero() -> None:
    groups = [{"params": [parameter()], "weight_decay": x} for x in (0.1, 0.0, 0.3)]
    optimizer = AdamW(groups, lr=torch.tensor(0.5))
    NormalizedWarmRestarts(optimizer, T_0=4)
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.0, 0.15])
    assert [group["initial_weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0, 0.3]


def test_a_group_added_later_joins_at_the_next_step() -> None:
    optimizer = adamw()
    schedule = NormalizedWarmRestarts(optimizer, T_0=4)
    before = schedule.state_dict()
    optimizer.add_param_group({"params": [parameter()], "lr": 0.25, "weight_decay": 0.4})
    optimizer.step()
    schedule.step()
    first, second = optimizer.param_groups
    assert second["lr"] == first["lr"] / 2
    assert second["weight_decay"] == pytest.approx(0.2)
    assert before["base_lrs"] == [0.5]  # a state that was taken stays as it was


def test_a_second_schedule_starts_from_the_same_decay() -> None:
    optimizer = adamw(weight_decay=0.1)
    NormalizedWarmRestarts(optimizer, T_0=4)
    NormalizedWarmRestarts(optimizer, T_0=16)
    assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(0.1 / 4)


@pytest.mark.parametrize("T_mult", [1, 2])
@given(done=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_last_epoch_finds_the_cycle(T_mult: int, done: int) -> None:
    optimizer, other = adamw(), adamw()
    schedule = NormalizedWarmRestarts(optimizer, T_0=3, T_mult=T_mult)
    for _ in range(done + 1):
        optimizer.step()
        schedule.step()
    other.load_state_dict(optimizer.state_dict())
    NormalizedWarmRestarts(other, T_0=3, T_mult=T_mult, last_epoch=done)
    for key in ("lr", "weight_decay"):
        assert other.param_groups[0][key] == pytest.approx(optimizer.param_groups[0][key], rel=1e-12)


def test_an_epoch_may_be_given_with_its_fraction() -> None:
    optimizer = adamw()
    schedule = NormalizedWarmRestarts(optimizer, T_0=1, T_mult=4, steps_per_epoch=4)
    for epoch, cycle in ((0.5, 1), (1.0, 4), (3.25, 4), (5.5, 16), (0.25, 1)):
        schedule.step(epoch)
        assert optimizer.param_groups[0]["weight_decay"] == pytest.approx(0.1 / math.sqrt(4 * cycle))


FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"T_0": 0}, ValueError, r"NormalizedWarmRestarts\(T_0=...\).*0"),
    ({"T_0": 2.5}, TypeError, r"T_0=...\).*2.5"),
    ({"T_0": True}, TypeError, r"T_0=...\).*True"),
    ({"T_0": 4, "T_mult": 0}, ValueError, r"T_mult=...\).*0"),
    ({"T_0": 4, "T_mult": 1.5}, TypeError, r"T_mult=...\).*1.5"),
    ({"T_0": 4, "eta_min": math.nan}, ValueError, r"eta_min=...\).*nan"),
    ({"T_0": 4, "eta_min": "0"}, TypeError, r"eta_min=...\).*'0'"),
    ({"T_0": 4, "steps_per_epoch": 0}, ValueError, r"steps_per_epoch=...\).*0"),
    ({"T_0": 4, "last_epoch": -2}, ValueError, r"last_epoch=...\).*-2"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), FAULTS, ids=str)
def test_a_bad_argument_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NormalizedWarmRestarts(adamw(), **arguments)


def test_an_optimizer_without_weight_decay_is_refused() -> None:
    class Plain(Optimizer):
        pass

    optimizer = Plain([parameter()], {"lr": 0.1})
    with pytest.raises(ValueError, match="needs a weight_decay in every group, but group 0 of Plain has none"):
        NormalizedWarmRestarts(optimizer, T_0=4)
    for factory in (SGD, Adagrad):
        NormalizedWarmRestarts(factory([parameter()], lr=0.1), T_0=4)
