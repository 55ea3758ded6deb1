"""Noam, linear cosine and noisy linear cosine."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, SequentialLR

from neuropt import create_optimizer
from neuropt.optimizers import LinearCosineLR, NoamLR, NoisyLinearCosineLR, named_optimizers

Schedule = Callable[..., LRScheduler]

SCHEDULES: dict[str, Schedule] = {
    "noam": partial(NoamLR, d_model=64, warmup=5),
    "linear cosine": partial(LinearCosineLR, decay_steps=12),
    "noisy linear cosine": partial(NoisyLinearCosineLR, decay_steps=12, seed=3),
}


def optimizer_of(*rates: Any, name: str = "momentum", **hyper: Any) -> Optimizer:
    groups = [{"params": [torch.ones(2, requires_grad=True)], "lr": lr} for lr in rates]
    return create_optimizer(name, groups, **hyper)


def rates(optimizer: Optimizer, schedule: LRScheduler, count: int) -> list[list[float]]:
    """The learning rates of the next steps, and the steps themselves."""
    seen = []
    for _ in range(count):
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        for group in optimizer.param_groups:
            group["params"][0].grad = torch.ones(2)
        optimizer.step()
        schedule.step()
    return seen


def factors(schedule: Schedule, count: int) -> list[float]:
    optimizer = optimizer_of(1.0)
    return [lr for (lr,) in rates(optimizer, schedule(optimizer), count)]


def test_noam_rises_and_falls() -> None:
    # d^-0.5 = 1/8; t warmup^-1.5 = t/8 until t = 4, where both are 1/2; then t^-0.5
    found = factors(lambda o: NoamLR(o, d_model=64, warmup=4), 16)
    assert found[:4] == pytest.approx([1 / 64, 2 / 64, 3 / 64, 4 / 64], rel=1e-14)
    assert (found[8], found[15]) == pytest.approx((1 / 24, 1 / 32), rel=1e-14)
    assert max(found) == found[3]
    assert NoamLR(optimizer_of(1.0), d_model=512).warmup == 4000


def test_linear_cosine_is_the_formula() -> None:
    found = factors(lambda o: LinearCosineLR(o, 10), 13)
    expected = [(10 - t) / 10 * 0.5 * (1 + math.cos(math.pi * t / 10)) + 0.001 for t in range(11)]
    assert found == pytest.approx([*expected, 0.001, 0.001], abs=1e-15)
    assert found[0] == pytest.approx(1.001)
    assert found[5] == pytest.approx(0.251)  # 0.5 * 0.5 + 0.001


def test_linear_cosine_with_other_arguments() -> None:
    found = factors(lambda o: LinearCosineLR(o, 8, num_periods=2, alpha=0.25, beta=0.5), 9)
    expected = [(0.25 + (8 - t) / 8) * 0.5 * (1 + math.cos(2 * math.pi * 2 * t / 8)) + 0.5 for t in range(9)]
    assert found == pytest.approx(expected, abs=1e-15)


def noise(steps: int, **hyper: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """eps_t, where the cosine is not near 0."""
    schedule = NoisyLinearCosineLR(optimizer_of(1.0), decay_steps=10 * steps, beta=0.0, **hyper)
    return np.array([schedule.line(t) - (1 - t / (10 * steps)) for t in range(steps)])


def test_noise_has_the_published_variance() -> None:
    steps = 4000
    scaled = noise(steps) * (1.0 + np.arange(steps)) ** 0.275  # the square root of (1 + t)^0.55
    assert abs(scaled.mean()) < 4 / math.sqrt(steps)
    assert abs(scaled.var() - 1) < 4 * math.sqrt(2 / steps)
    assert abs(np.corrcoef(scaled[:-1], scaled[1:])[0, 1]) < 4 / math.sqrt(steps)
    np.testing.assert_allclose(noise(50, initial_variance=0.25), 0.5 * noise(50), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(noise(50, variance_decay=0.0), scaled[:50], rtol=1e-10, atol=1e-12)


def test_noise_is_inside_the_bracket() -> None:
    schedule = NoisyLinearCosineLR(optimizer_of(1.0), 10, alpha=0.5, num_periods=1, seed=7)
    eps = [schedule.line(t) - 0.5 - (10 - t) / 10 for t in range(10)]
    expected = [(0.5 + (10 - t) / 10 + eps[t]) * 0.5 * (1 + math.cos(2 * math.pi * t / 10)) + 0.001 for t in range(10)]
    assert [schedule.factor(t) for t in range(10)] == pytest.approx(expected, abs=1e-14)
    assert schedule.factor(10) == schedule.factor(11)


def test_the_seed_is_the_noise() -> None:
    one, again, other = (factors(partial(NoisyLinearCosineLR, decay_steps=20, seed=s), 10) for s in (1, 1, 2))
    assert one == again
    assert one != other
    assert factors(lambda o: NoisyLinearCosineLR(o, 20, 0.0), 21) == factors(lambda o: LinearCosineLR(o, 20), 21)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_every_group_keeps_its_own_first_rate(schedule: Schedule) -> None:
    optimizer = optimizer_of(1.0, 0.5, torch.tensor(0.25))
    for first, second, third in rates(optimizer, schedule(optimizer), 6):
        assert (second, third) == pytest.approx((first / 2, first / 4), rel=1e-6)


@pytest.mark.parametrize("cut", [0, 1, 5, 14])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_state_dict_goes_round_and_goes_on_to_the_last_bit(schedule: Schedule, cut: int) -> None:
    optimizer = optimizer_of(0.5, 0.1)
    original = schedule(optimizer)
    rates(optimizer, original, cut)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "schedule": original.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    loaded_optimizer = optimizer_of(0.7, 0.7)  # other rates, and other arguments: what is loaded counts
    others: dict[Any, Schedule] = {
        NoamLR: partial(NoamLR, d_model=1, warmup=1),
        LinearCosineLR: partial(LinearCosineLR, decay_steps=3),
        NoisyLinearCosineLR: partial(NoisyLinearCosineLR, decay_steps=3),
    }
    loaded = others[type(original)](loaded_optimizer)
    loaded_optimizer.load_state_dict(saved["optimizer"])
    loaded.load_state_dict(saved["schedule"])
    assert loaded.get_last_lr() == original.get_last_lr()
    assert rates(loaded_optimizer, loaded, 6) == rates(optimizer, original, 6)
    assert loaded.state_dict() == original.state_dict()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_a_copy_goes_on_with_its_own_optimizer(schedule: Schedule, copied: Any) -> None:
    optimizer = optimizer_of(0.5)
    original = schedule(optimizer)
    rates(optimizer, original, 3)
    other = copied(original)
    assert other.optimizer is not optimizer
    assert rates(other.optimizer, other, 4) == rates(optimizer, original, 4)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_last_epoch_goes_on_without_a_state(schedule: Schedule) -> None:
    optimizer = optimizer_of(0.5)
    original = schedule(optimizer)
    rates(optimizer, original, 4)
    resumed = schedule(optimizer, last_epoch=original.last_epoch - 1)
    assert resumed.get_last_lr() == original.get_last_lr()


@pytest.mark.parametrize("name", sorted(named_optimizers()))
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
def test_every_optimizer_can_be_scheduled(schedule: Schedule, name: str) -> None:
    hyper = {key: value for key, value in named_optimizers()[name].arguments(0.1, 10).items() if key != "lr"}
    optimizer = optimizer_of(0.1, name=name, **hyper)
    scheduled = schedule(optimizer)
    seen = rates(optimizer, scheduled, 5)
    other = optimizer_of(0.1)
    assert seen == rates(other, schedule(other), 5)
    assert torch.isfinite(optimizer.param_groups[0]["params"][0]).all()


def test_they_work_inside_torch_schedules() -> None:
    optimizer = optimizer_of(1.0)
    warm = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=100)
    schedule = SequentialLR(optimizer, [warm, LinearCosineLR(optimizer, 10)], milestones=[2])
    found = [lr for (lr,) in rates(optimizer, schedule, 4)]
    assert found == pytest.approx([0.5, 0.5, 1.001, 0.9 * 0.5 * (1 + math.cos(math.pi / 10)) + 0.001])


FAULTS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (NoamLR, {"d_model": 0}, ValueError, r"NoamLR\(d_model=...\).*0"),
    (NoamLR, {"d_model": 8, "warmup": math.nan}, ValueError, r"NoamLR\(warmup=...\).*nan"),
    (NoamLR, {"d_model": "8"}, TypeError, r"NoamLR\(d_model=...\).*'8'"),
    (LinearCosineLR, {"decay_steps": 0}, ValueError, r"LinearCosineLR\(decay_steps=...\).*0"),
    (LinearCosineLR, {"decay_steps": 1.5}, TypeError, r"LinearCosineLR\(decay_steps=...\).*1.5"),
    (LinearCosineLR, {"decay_steps": 5, "num_periods": 0}, ValueError, r"num_periods=...\).*0"),
    (LinearCosineLR, {"decay_steps": 5, "alpha": -1.0}, ValueError, r"alpha=...\).*-1.0"),
    (LinearCosineLR, {"decay_steps": 5, "beta": math.nan}, ValueError, r"beta=...\).*nan"),
    (NoisyLinearCosineLR, {"decay_steps": 5, "beta": math.inf}, ValueError, r"NoisyLinearCosineLR\(beta=...\).*inf"),
    (NoisyLinearCosineLR, {"decay_steps": 5, "initial_variance": -1}, ValueError, r"initial_variance=...\).*-1"),
    (NoisyLinearCosineLR, {"decay_steps": 5, "variance_decay": -1}, ValueError, r"variance_decay=...\).*-1"),
    (NoisyLinearCosineLR, {"decay_steps": 5, "seed": 0.5}, TypeError, r"seed=...\).*0.5"),
    (NoisyLinearCosineLR, {"decay_steps": 5, "gamma": 0.5}, TypeError, "gamma"),
]


@pytest.mark.parametrize(("schedule", "arguments", "error", "message"), FAULTS, ids=str)
def test_a_bad_argument_is_refused(
    schedule: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        schedule(optimizer_of(1.0), **arguments)
