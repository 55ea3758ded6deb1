"""Every optimizer under every schedule, torch's and ours: saved in the middle and loaded elsewhere, both go on to the last bit."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from neuropt import create_optimizer, parse_rule
from neuropt.optimizers import (
    LinearCosineLR,
    NoamLR,
    NoisyLinearCosineLR,
    NormalizedWarmRestarts,
    SnapshotLR,
    named_optimizers,
)

PATTERN = [1.0, -0.5, 0.25, 1.0, 1.0, -1.0]
CUT = 4  # inside the second cycle, after the first milestone, within the decay

RULE = "rule"
NAMES = [*named_optimizers(), RULE]
NO_DECAY = {"adagraft", RULE}  # no weight_decay of their own
NO_MOMENTUM = {
    "adagrad",
    "adadelta",
    "lstm",
}  # two of torch's and a learned one: cyclic schedules can cycle their rate only


def cycles_momentum(optimizer: Optimizer) -> bool:
    return "momentum" in optimizer.defaults or "betas" in optimizer.defaults


def warm_up(optimizer: Optimizer) -> LRScheduler:
    warm = lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    return lr_scheduler.SequentialLR(optimizer, [warm, lr_scheduler.CosineAnnealingLR(optimizer, 6)], milestones=[3])


def one_cycle(optimizer: Optimizer) -> LRScheduler:
    return lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=12, cycle_momentum=cycles_momentum(optimizer))


def cyclic(optimizer: Optimizer) -> LRScheduler:
    cycled = cycles_momentum(optimizer)
    return lr_scheduler.CyclicLR(optimizer, base_lr=0.01, max_lr=0.05, step_size_up=3, cycle_momentum=cycled)


SCHEDULES: dict[str, Callable[[Optimizer], Any]] = {
    "step": partial(lr_scheduler.StepLR, step_size=3, gamma=0.5),
    "multi-step": partial(lr_scheduler.MultiStepLR, milestones=[2, 6], gamma=0.5),
    "cosine": partial(lr_scheduler.CosineAnnealingLR, T_max=10),
    "linear": partial(lr_scheduler.LinearLR, total_iters=8),
    "warm-up": warm_up,
    "one-cycle": one_cycle,
    "cyclic": cyclic,
    "warm restarts": partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=3, T_mult=2),
    "noam": partial(NoamLR, d_model=64, warmup=5),
    "linear cosine": partial(LinearCosineLR, decay_steps=12),
    "noisy linear cosine": partial(NoisyLinearCosineLR, decay_steps=12, seed=3),
    "snapshots": partial(SnapshotLR, total_steps=12, cycles=4),
    "normalized restarts": partial(NormalizedWarmRestarts, T_0=3, T_mult=2),
}


def optimizer_of(name: str, lr: float, weight_decay: float = 0.1) -> Optimizer:
    torch.manual_seed(0)
    groups = [{"params": [torch.randn(2, requires_grad=True)], "lr": rate} for rate in (lr, lr / 2)]
    if name == RULE:
        return create_optimizer(parse_rule("g * exp(sign(g) * sign(m))"), groups)
    row = named_optimizers()[name]
    decay = {} if name in NO_DECAY else {"weight_decay": weight_decay}
    return create_optimizer(name, groups, **row.arguments(lr, steps=12), **decay)


def weights(optimizer: Optimizer) -> list[Tensor]:
    return [w.detach().clone() for group in optimizer.param_groups for w in group["params"]]


def trained(optimizer: Optimizer, schedule: Any, start: int, count: int) -> list[Any]:
    """Train, and return all that a step leaves: weights, and the hyperparameters of each group."""
    seen = []
    for step in range(start, start + count):
        for group in optimizer.param_groups:
            for w in group["params"]:
                w.grad = PATTERN[step % len(PATTERN)] * torch.tensor([1.0, -0.3])
        optimizer.step()
        schedule.step()
        groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        seen.append(([w.tolist() for w in weights(optimizer)], groups))
    return seen


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


CASES = [
    (schedule, name)
    for schedule in SCHEDULES
    for name in NAMES
    if not (schedule == "normalized restarts" and name in NO_DECAY)
]


@pytest.mark.parametrize(("schedule", "name"), CASES, ids=lambda value: value.replace(" ", "-"))
def test_both_state_dicts_go_round_and_training_goes_on_to_the_last_bit(schedule: str, name: str) -> None:
    optimizer = optimizer_of(name, lr=0.02)
    original = SCHEDULES[schedule](optimizer)
    before = trained(optimizer, original, 0, CUT)
    assert before[0][1][0]["lr"] != before[1][1][0]["lr"] or schedule in ("step", "multi-step")
    saved = through_a_file([weights(optimizer), optimizer.state_dict(), original.state_dict()])

    elsewhere = optimizer_of(name, lr=0.03, weight_decay=0.2)  # what is loaded counts
    loaded = SCHEDULES[schedule](elsewhere)
    for w, value in zip((w for group in elsewhere.param_groups for w in group["params"]), saved[0], strict=True):
        w.data.copy_(value)
    elsewhere.load_state_dict(saved[1])
    loaded.load_state_dict(saved[2])

    after = trained(optimizer, original, CUT, 5)
    assert trained(elsewhere, loaded, CUT, 5) == after
    assert all(torch.isfinite(w).all() for w in weights(optimizer))
    assert after[0][1][0]["lr"] != after[4][1][0]["lr"]


def test_only_what_has_no_momentum_leaves_it_uncycled() -> None:
    assert {name for name in NAMES if not cycles_momentum(optimizer_of(name, lr=0.1))} == NO_MOMENTUM


@pytest.mark.parametrize("name", sorted(NO_DECAY))
def test_without_weight_decay_there_is_nothing_to_normalize(name: str) -> None:
    optimizer = optimizer_of(name, lr=0.1)
    with pytest.raises(
        ValueError, match=r"NormalizedWarmRestarts\(optimizer=...\) needs a weight_decay in every group.*group 0"
    ):
        NormalizedWarmRestarts(optimizer, T_0=3)
    assert "initial_lr" not in optimizer.param_groups[0]
