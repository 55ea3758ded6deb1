"""Checks of parameter groups: each follows its own hyperparameters; and of weight decay, which is most often given to some of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.testing.subject import NotApplicable, Subject, Unmet, is_numeric
from neuropt.testing.trajectories import (
    CLOSE,
    SHAPES,
    Gradient,
    distance,
    expect_moved,
    expect_same,
    gradient,
    parameters,
    take_steps,
    weights,
)

LAYOUT = (*SHAPES, (3,))
MIDDLE = 1
DECAY = 0.1


def groups_apart(subject: Subject) -> str:
    """Each of three groups steps by its own numbers, and by its own `maximize`: as where all groups have them.

    Numbers that begin with `initial` may count once for all groups, as in torch's Adagrad.
    """
    usual = subject.make(_groups({}))
    numbers = [name for name, value in usual.param_groups[0].items() if is_numeric(value)]
    names = [name for name in numbers if name in subject.names and not name.startswith("initial")]
    expected = _moved(usual)
    expect_moved(parameters(LAYOUT), expected, "3 steps of three groups")
    louder = _moved(subject.make(_groups({})), _louder_in_the_middle)
    if distance([expected[0], expected[2]], [louder[0], louder[2]]):
        raise NotApplicable("a group's gradients move the parameters of others")
    own = usual.param_groups[0]
    compared = [n for n in names if any(_counts_alone(subject, n, value, expected) for value in others(n, own[n]))]
    if "maximize" in subject.names and _counts_alone(subject, "maximize", True, expected):
        compared.append("maximize")
    return f"{', '.join(compared) or 'no number'} in one of three groups"


def _counts_alone(subject: Subject, name: str, value: Any, expected: list[Tensor]) -> bool:
    """Compare one group that has a value with a training in which all have it; False where the optimizer does not take it so."""
    try:
        everywhere = subject.make(_groups({}), **{name: value})
        mixed = subject.make(_groups({name: value}))
    except (TypeError, ValueError):
        return False
    wanted = [expected[0], _moved(everywhere)[MIDDLE], expected[2]]
    expect_same(wanted, _moved(mixed), f"{name}={value} in the second of three groups should count there alone", CLOSE)
    return True


def weight_decay(subject: Subject) -> str:
    """A weight decay changes the steps, and makes no weight larger where gradients are zero.

    It may leave them as they are, as a decay does that acts only where a step goes towards zero too.
    """
    subject.require("weight_decay")
    if not is_numeric(subject.defaults.get("weight_decay")):
        raise NotApplicable("weight_decay is no number")
    free, decayed = (take_steps(subject.make(parameters(), weight_decay=x), range(3)) for x in (0.0, DECAY))
    if not distance(weights(free), weights(decayed)):
        raise Unmet(f"weight_decay={DECAY}: expected other steps than without, but nothing changed")
    still = subject.make(parameters(), weight_decay=DECAY)
    before = weights(still)
    after = weights(take_steps(still, range(1), gradient_of=lambda w, step, place: torch.zeros_like(w)))
    for place, (x, y) in enumerate(zip(before, after, strict=True)):
        if not bool((y.abs() <= x.abs()).all()):
            worst = int((y.abs() - x.abs()).nan_to_num(torch.inf).argmax())
            raise Unmet(
                f"weight_decay={DECAY} at zero gradients: expected no larger weights, but {float(x.reshape(-1)[worst]):.9g} became "
                f"{float(y.reshape(-1)[worst]):.9g} (parameter {place}, element {worst})"
            )
    shrinks = "shrinks weights" if distance(before, after) else "leaves weights"
    return f"weight_decay={DECAY} changes steps, and {shrinks} at zero gradients"


def others(name: str, value: Any) -> tuple[Any, ...]:
    """Return values to try in place of one: the next whole number, half a number; a tenth for 0, and for eps, so that it can show."""
    if isinstance(value, tuple):
        return (tuple(others(name, x)[-1] for x in value),)
    near = 0.1 if name == "eps" or not value else 0.5 * value
    return (value + 1, near) if isinstance(value, int) else (near,)


def _groups(of_the_middle: dict[str, Any]) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [{}, of_the_middle, {}]
    return [{"params": [w], **hyper} for w, hyper in zip(parameters(LAYOUT), own, strict=True)]


def _moved(optimizer: Optimizer, gradient_of: Gradient = gradient) -> list[Tensor]:
    return weights(take_steps(optimizer, range(3), gradient_of=gradient_of))


def _louder_in_the_middle(w: Tensor, step: int, place: int) -> Tensor:
    return gradient(w, step, place) * (3.0 if place == MIDDLE else 1.0)
