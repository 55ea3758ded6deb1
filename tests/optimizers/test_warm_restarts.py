"""AdamWR and SGDWR: periods, the normalised decay, and what every torch optimizer must do."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, optim
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from neuropt.optimizers import SGDW, SGDWR, AdamWR, NormalizedWarmRestarts
from neuropt.optimizers.warm_restarts import period_at, restarted

BOTH: list[Any] = [AdamWR, SGDWR]


def parameter(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor([1.0, -2.0, 0.5], dtype=dtype, requires_grad=True)


def steps(optimizer: optim.Optimizer, count: int, first: int = 0) -> None:
    for step in range(first, first + count):
        for w in optimizer.param_groups[0]["params"]:
            w.grad = torch.full_like(w, math.cos(1.7 * step))
        optimizer.step()


def test_periods_by_hand() -> None:
    # 3, 6 and 12 steps; then 24
    places = [period_at(float(t), 3, 2) for t in range(24)]
    assert places == [*((t, 3) for t in range(3)), *((t, 6) for t in range(6)), *((t, 12) for t in range(12)),
                      *((t, 24) for t in range(3))]  # fmt: skip
    assert [period_at(float(t), 4, 1) for t in range(9)] == [(t % 4, 4) for t in range(9)]


@pytest.mark.parametrize(("T_0", "T_mult"), [(1, 2), (1, 3), (7, 2), (100, 10), (3, 7)])
def test_periods_begin_where_they_should_up_to_the_last_step_that_is_counted(T_0: int, T_mult: int) -> None:
    begin, length = 0, T_0
    while begin < 2**24:
        for t in (begin, begin + 1, begin + length - 1):
            expected = (t - begin, length) if t < begin + length else (0, length * T_mult)
            assert period_at(float(t), T_0, T_mult) == expected
            cur, period = period_at(torch.tensor(float(t), dtype=torch.float64), T_0, T_mult)
            assert (cur.item(), float(period)) == expected
        begin, length = begin + length, length * T_mult


@pytest.mark.parametrize("T_mult", [1, 2])
def test_the_multiplier_is_torchs_schedule(T_mult: int) -> None:
    sgd = optim.SGD([parameter()], lr=1.0)
    schedule = CosineAnnealingWarmRestarts(sgd, T_0=5, T_mult=T_mult, eta_min=0.25)
    for t in range(1, 40):
        eta, _ = restarted(float(t), {"T_0": 5, "T_mult": T_mult, "eta_min": 0.25, "weight_decay": 0.0})
        assert eta == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-14)
        sgd.step()
        schedule.step()


def test_the_decay_is_the_papers_in_epochs_and_batches() -> None:
    # 50,000 examples in batches of 128, a first period of 100 epochs: lambda = .025 sqrt(128 / (50000 * 100))
    steps_in_an_epoch = 50_000 / 128
    _, decay = restarted(1.0, {"T_0": round(100 * steps_in_an_epoch), "T_mult": 1, "eta_min": 0, "weight_decay": 0.025})
    assert decay == pytest.approx(0.025 * math.sqrt(128 / (50_000 * 100)), rel=1e-5)


@pytest.mark.parametrize("cls", BOTH)
def test_the_decay_follows_the_schedule_and_not_lr(cls: Any) -> None:
    # w = 1, g = 0: each step multiplies w by 1 - eta_t lambda, lambda = .3/sqrt(2) and then .3/sqrt(4), whatever lr is
    for lr in (0.1, 1e-3):
        w = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = cls([w], lr=lr, weight_decay=0.3, T_0=2, T_mult=2)
        expected = 1.0
        for eta, period in ((1.0, 2), (0.5, 2), (1.0, 4), ((1 + math.cos(math.pi / 4)) / 2, 4)):
            w.grad = torch.zeros_like(w)
            optimizer.step()
            expected *= 1 - eta * 0.3 / math.sqrt(period)
            assert w.item() == pytest.approx(expected, rel=1e-14)
    optimizer.param_groups[0]["lr"] = lr / 2  # an outer schedule halves both
    before = w.item()
    optimizer.step()
    assert w.item() == pytest.approx(before * (1 - 0.5 * 0.5 * 0.3 / math.sqrt(4)), rel=1e-14)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.complex64], ids=str)
def test_lr_zero_and_zero_gradients_leave_parameters_untouched(cls: Any, dtype: torch.dtype) -> None:
    w = torch.ones(3, dtype=dtype, requires_grad=True)
    optimizer = cls([w], T_0=2)
    optimizer.param_groups[0]["lr"] = 0.0
    w.grad = torch.zeros_like(w)
    for _ in range(3):
        optimizer.step()
    assert torch.equal(w, torch.ones_like(w))


@pytest.mark.parametrize("cls", BOTH)
def test_a_late_first_gradient_starts_its_own_first_period(cls: Any) -> None:
    early, late = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer, after_first = cls([early, late], T_0=3, T_mult=2), torch.empty(0)
    for step in range(5):
        early.grad = torch.ones(2)
        late.grad = torch.ones(2) if step == 4 else None
        optimizer.step()
        after_first = early.detach().clone() if step == 0 else after_first
    assert torch.equal(late, after_first)


@pytest.mark.parametrize("cls", BOTH)
def test_copies_and_state_dicts_go_on_bit_exactly(cls: Any) -> None:
    original = cls([parameter()], T_0=3, T_mult=2)
    steps(original, 5)
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    (w,) = original.param_groups[0]["params"]
    loaded = cls([w.detach().clone().requires_grad_()], lr=0.7, T_0=50)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    others = [copy.deepcopy(original), pickle.loads(pickle.dumps(original)), loaded]
    for optimizer in (original, *others):
        steps(optimizer, 6, first=5)
    for other in others:
        assert torch.equal(other.param_groups[0]["params"][0], w)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own, while tracing
@pytest.mark.parametrize("T_mult", [1, 2])
@pytest.mark.parametrize("cls", BOTH)
def test_a_compiled_step_is_the_step(cls: Any, T_mult: int) -> None:
    torch._dynamo.reset()
    compiled, plain = (cls([parameter(torch.float32)], lr=torch.tensor(0.1), T_0=2, T_mult=T_mult) for _ in range(2))
    go = torch.compile(compiled.step, backend="eager", fullgraph=True)
    for step in range(7):
        for optimizer, run in ((compiled, go), (plain, plain.step)):
            optimizer.param_groups[0]["params"][0].grad = torch.full((3,), math.cos(1.7 * step))
            run()
    torch.testing.assert_close(compiled.param_groups[0]["params"], plain.param_groups[0]["params"])


@pytest.mark.parametrize("cls", BOTH)
def test_gradients_flow_through_a_differentiable_step(cls: Any) -> None:
    def loss_after_three_steps(lr: Tensor) -> Tensor:
        w = parameter().clone()
        w.retain_grad()
        optimizer = cls([w], lr=lr, T_0=2, base_lr=0.1, differentiable=True)
        for scale in (1.0, 0.5, -0.2):
            w.grad = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64) * scale
            optimizer.step()
        return (w**2).sum()

    assert torch.autograd.gradcheck(loss_after_three_steps, torch.tensor(0.1, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("cls", BOTH)
def test_the_first_period_must_be_given_and_be_whole(cls: Any) -> None:
    with pytest.raises(TypeError, match="T_0"):
        cls([parameter()])
    with pytest.raises(TypeError, match=rf"{cls.__name__}\(T_0=...\) must be an integer, but got 2.5"):
        cls([parameter()], T_0=2.5)
    with pytest.raises(ValueError, match=rf"{cls.__name__}\(T_mult=...\).*0"):
        cls([parameter()], T_0=2).add_param_group({"params": [parameter()], "T_mult": 0})
    with pytest.raises(ValueError, match=rf"{cls.__name__}\(lr=...\) must be > 0 where a group starts"):
        cls([parameter()], lr=0.0, T_0=2)


def test_sgdwr_is_sgdw_under_the_schedule_of_the_same_restarts() -> None:
    # the schedule's eta_min is a rate, ours a factor of lr
    (w, v), lr = (parameter(), parameter()), 0.125
    ours = SGDWR([w], lr=lr, weight_decay=0.5, T_0=3, T_mult=2, eta_min=0.25)
    sgdw = SGDW([v], lr=lr, weight_decay=0.5, decay="schedule")
    schedule = NormalizedWarmRestarts(sgdw, T_0=3, T_mult=2, eta_min=0.25 * lr)
    for step in range(25):
        steps(ours, 1, first=step)
        steps(sgdw, 1, first=step)
        schedule.step()
        torch.testing.assert_close(w, v, rtol=1e-12, atol=0)
