"""The named learning-rate schedules: torch's own and ours, each laid out over a planned number of steps.

A row makes a scheduler of torch from an optimizer and the planned steps T, with fractions of T where a user of torch would write
numbers. The largest rate of every schedule is the lr that the optimizer starts with, but for the noisy one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import torch
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from neuropt.optimizers.arguments import check_integer
from neuropt.optimizers.normalized_restarts import NormalizedWarmRestarts
from neuropt.optimizers.schedules import LinearCosineLR, NoamLR, NoisyLinearCosineLR
from neuropt.optimizers.snapshots import SnapshotLR

Moves = Literal["lr", "lr and weight decay", "lr, with snapshots", "batch and lr"]

CONSTANT = "constant"
SNAPSHOTS, ENSEMBLE = 5, 3
"""Cycles of the snapshot schedule, and the last snapshots that its ensemble averages."""


@dataclass(frozen=True, slots=True)
class NamedSchedule:
    """One row.

    Args:
        name: as typed at the command line.
        formula: lr over its start, or what else is done, at step t of T.
        source: who published it.
        create: (optimizer, T) -> a scheduler, to be stepped after each step.
        moves: what it changes. A schedule of `lr` alone is a row of factors, so that whole populations follow it.
    """

    name: str
    formula: str
    source: str
    create: Callable[[Optimizer, int], LRScheduler]
    moves: Moves = "lr"


def _multistep(optimizer: Optimizer, steps: int) -> LRScheduler:
    return lr_scheduler.MultiStepLR(optimizer, [_part(steps, 2), _part(3 * steps, 4)], gamma=0.1)


def _warmup_cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    warmup = _part(steps, 10)
    parts: list[LRScheduler] = [
        lr_scheduler.LinearLR(optimizer, 1 / (warmup + 1), 1.0, total_iters=warmup),
        lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps - warmup)),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, [warmup])


def _one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    # momentum stays: not every rule has one
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    return lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps + 1, cycle_momentum=False)


def _cyclic(optimizer: Optimizer, steps: int) -> LRScheduler:
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    low = [rate / 10 for rate in rates]
    return lr_scheduler.CyclicLR(optimizer, low, rates, step_size_up=_part(steps, 8), cycle_momentum=False)


def _noam(optimizer: Optimizer, steps: int) -> LRScheduler:
    warmup = _part(steps, 10)
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * warmup**0.5  # the largest factor is warmup^-0.5 at d_model = 1
    return NoamLR(optimizer, d_model=1, warmup=warmup)


def _normalized_restarts(optimizer: Optimizer, steps: int) -> LRScheduler:
    if all("weight_decay" in group for group in optimizer.param_groups):
        return NormalizedWarmRestarts(optimizer, T_0=_part(steps, 7), T_mult=2)
    return _sgdr(optimizer, steps)  # no decay is a decay of 0, at any length of the cycle


def _sgdr(optimizer: Optimizer, steps: int) -> LRScheduler:
    return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=_part(steps, 7), T_mult=2)


def _snapshot(optimizer: Optimizer, steps: int) -> LRScheduler:
    cycles = next(m for m in range(min(SNAPSHOTS, steps), 0, -1) if -(-steps // -(-steps // m)) == m)
    return SnapshotLR(optimizer, steps, cycles)


def _part(steps: int, parts: int) -> int:
    return -(-steps // parts)  # rounded up


ROWS = (
    NamedSchedule(CONSTANT, "1", "torch ConstantLR", lambda o, steps: lr_scheduler.ConstantLR(o, 1.0, 0)),
    NamedSchedule(
        "step",
        "1/10 after each third of T",
        "torch StepLR",
        lambda o, steps: lr_scheduler.StepLR(o, _part(steps, 3), gamma=0.1),
    ),
    NamedSchedule("multistep", "1/10 at T/2 and at 3T/4", "torch MultiStepLR", _multistep),
    NamedSchedule(
        "exponential",
        "100^(-t/T)",
        "torch ExponentialLR",
        lambda o, steps: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / steps)),
    ),
    NamedSchedule(
        "linear",
        "1 - t/T",
        "torch LinearLR",
        lambda o, steps: lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=steps),
    ),
    NamedSchedule(
        "cosine",
        "(1 + cos(pi t/T))/2",
        "Loshchilov and Hutter 2017; torch CosineAnnealingLR",
        lambda o, steps: lr_scheduler.CosineAnnealingLR(o, steps),
    ),
    NamedSchedule(
        "warmup-cosine",
        "(t + 1)/(W + 1) for W = T/10 steps, then a cosine to 0",
        "Goyal et al. 2017; torch SequentialLR",
        _warmup_cosine,
    ),
    NamedSchedule(
        "one-cycle",
        "a cosine up from 1/25 over 0.3 T, then one down to 4e-6; momentum stays",
        "Smith and Topin 2017; torch OneCycleLR",
        _one_cycle,
    ),
    NamedSchedule(
        "cyclic",
        "a triangle wave from 1/10 to 1, four periods in T; momentum stays",
        "Smith 2017; torch CyclicLR",
        _cyclic,
    ),
    NamedSchedule(
        "sgdr",
        "(1 + cos(pi T_cur/T_i))/2, cycles of T/7, 2T/7 and 4T/7",
        "Loshchilov and Hutter 2017; torch CosineAnnealingWarmRestarts",
        _sgdr,
    ),
    NamedSchedule(
        "normalized-restarts",
        "sgdr, with weight_decay / sqrt(T_i): that of AdamWR and SGDWR",
        "Loshchilov and Hutter 2019",
        _normalized_restarts,
        "lr and weight decay",
    ),
    NamedSchedule("noam", "W^0.5 min(t^-0.5, t W^-1.5), t from 1, W = T/10", "Vaswani et al. 2017", _noam),
    NamedSchedule(
        "linear-cosine",
        "(1 - t/T) (1 + cos(pi t/T))/2 + 0.001",
        "Bello et al., Neural Optimizer Search, ICML 2017",
        lambda o, steps: LinearCosineLR(o, steps),
    ),
    NamedSchedule(
        "noisy-linear-cosine",
        "(1 - t/T + eps_t) (1 + cos(pi t/T))/2 + 0.001, eps_t ~ N(0, 1/(1 + t)^0.55)",
        "Bello et al., Neural Optimizer Search, ICML 2017",
        lambda o, steps: NoisyLinearCosineLR(o, steps),
    ),
    NamedSchedule(
        "snapshot",
        f"{SNAPSHOTS} cycles of half a cosine; the last {ENSEMBLE} ends predict together",
        "Huang et al. 2017",
        _snapshot,
        "lr, with snapshots",
    ),
    NamedSchedule(
        "growing-batch",
        "multistep, with batches that grow to a tenth of the data before lr falls",
        "Smith et al. 2018",
        _multistep,
        "batch and lr",
    ),
)


@cache
def named_schedules() -> Mapping[str, NamedSchedule]:
    """Return all rows by name, for listings and look-up.

    Example:
        >>> named_schedules()["cosine"].moves
        'lr'
    """
    return MappingProxyType({row.name: row for row in ROWS})


def find_schedule(name: str) -> NamedSchedule:
    """Return a row by its name.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    rows = named_schedules()
    if name not in rows:
        raise ValueError(f"unknown schedule {name!r}; choose one of {', '.join(rows)}.")
    return rows[name]


def create_schedule(name: str, optimizer: Optimizer, steps: int) -> LRScheduler:
    """Make the scheduler of an optimizer by name, for a training of so many steps; step it after each of them.

    Of `snapshot` and `growing-batch` this is the scheduler alone: see `SnapshotEnsemble` and `GrowingBatch`.

    Raises:
        TypeError: for steps that are no integer.
        ValueError: for an unknown name, listing the valid ones, or steps below 1.

    Example:
        >>> optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        >>> schedule = create_schedule("linear", optimizer, steps=2)
        >>> optimizer.step()
        >>> schedule.step()
        >>> optimizer.param_groups[0]["lr"]
        0.25
    """
    check_integer("create_schedule(steps=...)", steps, low=1)
    return find_schedule(name).create(optimizer, steps)


def rate_factors(name: str, steps: int) -> list[float]:
    """Return lr over its start at each of so many steps, as the scheduler itself writes it.

    Raises:
        ValueError: for an unknown name, or a schedule that moves more than lr.

    Example:
        >>> rate_factors("linear", steps=4)
        [1.0, 0.75, 0.5, 0.25]
    """
    if (moves := find_schedule(name).moves) != "lr":
        raise ValueError(f"schedule {name!r} moves {moves}, so that it is no row of factors.")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = create_schedule(name, optimizer, steps)
    factors = []
    for _ in range(steps):
        factors.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return factors
