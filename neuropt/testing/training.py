"""Checks of what surrounds an optimizer in training: learning-rate schedulers and gradient scalers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from neuropt.testing.subject import NotApplicable, Subject, Unmet
from neuropt.testing.trajectories import distance, expect_moved, expect_same, gradient, parameters, take_steps, weights

STEPS = 6
SCHEDULERS: dict[str, Callable[[Optimizer], lr_scheduler.LRScheduler]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda t: 0.9**t),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda t: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [1, 3]),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, total_iters=3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, total_iters=4),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=10),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2, cycle_momentum=False),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=10, cycle_momentum=False),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], milestones=[2]
    ),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0),
}
CYCLIC: dict[str, Callable[[Optimizer, float], lr_scheduler.LRScheduler]] = {
    "OneCycleLR": lambda o, beta: lr_scheduler.OneCycleLR(
        o, 0.1, total_steps=20, base_momentum=beta, max_momentum=beta
    ),
    "CyclicLR": lambda o, beta: lr_scheduler.CyclicLR(
        o, 0.01, 0.1, step_size_up=2, base_momentum=beta, max_momentum=beta
    ),
}


def schedulers(subject: Subject) -> str:
    """Each of torch's schedulers moves the lr of the groups as it moves that of torch's SGD."""
    for name, schedule in SCHEDULERS.items():
        optimizer, reference = subject.make(parameters([(2,)])), torch.optim.SGD(parameters([(2,)]))
        expected, got = (_learning_rates(o, schedule) for o in (reference, optimizer))
        if expected != got:
            raise Unmet(f"{name}: expected learning rates {_short(expected)}, but got {_short(got)}")
    return f"{len(SCHEDULERS)} of torch's schedulers move lr"


def momentum_cycling(subject: Subject) -> str:
    """OneCycleLR and CyclicLR cycle `betas[0]` or `momentum`, and what they write is obeyed; it applies where one is in `defaults`.

    Where the default is None, nothing need have a momentum: then they must only run.
    """
    name = next((name for name in ("betas", "momentum") if name in subject.defaults), None)
    if name is None:
        raise NotApplicable("neither betas nor momentum in defaults; cyclic schedulers need cycle_momentum=False")
    for scheduler, schedule in CYCLIC.items():
        low, high = (subject.make(parameters([(40,)])) for _ in range(2))
        before = weights(low)
        for optimizer, beta in ((low, 0.1), (high, 0.9)):
            scheduled = schedule(optimizer, beta)
            for step in range(2 * STEPS):
                take_steps(optimizer, [step])
                scheduled.step()
            written = optimizer.param_groups[0][name]
            written = written[0] if name == "betas" else written
            if not math.isclose(written, beta):
                raise Unmet(f"{scheduler}: expected {name} {beta} in the group, but got {written}")
        expect_moved(before, weights(low), f"{2 * STEPS} steps under {scheduler}")
        if subject.defaults[name] is not None and not distance(weights(low), weights(high)):
            raise Unmet(f"{scheduler}: expected {name} 0.1 and 0.9 to give different steps, but they were the same")
    return f"OneCycleLR and CyclicLR cycle {name}"


def grad_scaler(subject: Subject) -> str:
    """Under torch.amp.GradScaler a step sees unscaled gradients, and is skipped where a gradient is infinite."""
    scaled, plain = (subject.make(parameters(dtype=torch.float32)) for _ in range(2))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)

    def step() -> None:
        scaler.scale(torch.zeros(()))
        scaler.step(scaled)
        scaler.update()

    take_steps(scaled, range(2), gradient_of=_scaled, step=step)
    expected = weights(take_steps(plain, range(2)))
    expect_same(expected, weights(scaled), "gradients under a scale of 4 should be unscaled first")
    take_steps(scaled, range(2, 3), gradient_of=lambda w, *_: torch.full_like(w, math.inf), step=step)
    expect_same(expected, weights(scaled), "a step with infinite gradients should be skipped")
    return "unscaled first, skipped where infinite"


def _scaled(w: Tensor, step: int, place: int) -> Tensor:
    return 4 * gradient(w, step, place)


def _learning_rates(optimizer: Optimizer, schedule: Callable[[Optimizer], Any]) -> list[float]:
    """Return the lr that the group has after each step, from 0.05."""
    (group,), seen = optimizer.param_groups, []
    group["lr"] = 0.05
    take_steps(optimizer, range(1))
    scheduler = schedule(optimizer)
    for _ in range(STEPS):
        optimizer.step()
        scheduler.step(1.0) if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else scheduler.step()
        seen.append(float(group["lr"]))
    return seen


def _short(numbers: list[float]) -> str:
    return ", ".join(f"{x:.4g}" for x in numbers)
