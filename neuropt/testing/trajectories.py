"""Short trainings along fixed gradients, and how two of them are compared.

A gradient is a function of the step and of the parameter's place alone, so that two optimizers over the same layout of parameters see
the same ones. Random updates repeat too: torch's generator is seeded at every step, and rules draw by (seed, place, step, element).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.testing.subject import Unmet

SHAPES: tuple[tuple[int, ...], ...] = ((4,), (2, 3))
CLOSE = 1e-9  # relative to max(1, |w|) in float64: another order of the same sums
Gradient = Callable[[Tensor, int, int], Tensor]


def parameters(shapes: Iterable[tuple[int, ...]] = SHAPES, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Return leaves of fixed values between 0.5 and 1.5 in size, of both signs."""
    drawn = (_drawn(shape, 7 * index + 1, dtype) for index, shape in enumerate(shapes))
    return [(x + 0.5 * torch.sgn(x)).requires_grad_() for x in drawn]


def gradient(w: Tensor, step: int, place: int) -> Tensor:
    """Return the gradient of one parameter at one step: between 0.05 and 1 in size, of both signs."""
    return _drawn(tuple(w.shape), 1000 * (step + 1) + place, w.dtype).clone()


def placed(optimizer: Optimizer) -> list[Tensor]:
    """Return the parameters of all groups in order."""
    return [w for group in optimizer.param_groups for w in group["params"]]


def take_steps(
    optimizer: Optimizer,
    steps: Iterable[int],
    *,
    only: Collection[int] | None = None,
    gradient_of: Gradient = gradient,
    step: Callable[[], Any] | None = None,
) -> Optimizer:
    """Step once for each of `steps`, with gradients for all parameters or for those at the places `only`."""
    for number in steps:
        torch.default_generator.manual_seed(number)  # torch.manual_seed would also seed every accelerator
        for place, w in enumerate(placed(optimizer)):
            w.grad = gradient_of(w, number, place) if only is None or place in only else None
        (step or optimizer.step)()
    return optimizer


def weights(optimizer: Optimizer) -> list[Tensor]:
    """Return copies of the parameters of all groups in order."""
    return [w.detach().clone() for w in placed(optimizer)]


def expect_same(expected: Sequence[Tensor], got: Sequence[Tensor], claim: str, tolerance: float = 0.0) -> None:
    """Compare tensors bit by bit, or up to a tolerance relative to max(1, |expected|); NaN equals itself.

    Raises:
        Unmet: naming the first element that differs.
    """
    for place, (x, y) in enumerate(zip(expected, got, strict=True)):
        if x.shape != y.shape or x.dtype != y.dtype:
            raise Unmet(f"{claim}: expected {_form(x)}, but got {_form(y)} (parameter {place})")
        x, y = (torch.view_as_real(z) if z.is_complex() else z for z in (x, y))
        allowed = tolerance * x.double().abs().clamp(min=1.0)
        is_same = ((x.double() - y.double()).abs() <= allowed) | (x == y) | (x.isnan() & y.isnan())
        if not is_same.all():
            worst = int((~is_same).reshape(-1).nonzero()[0])
            wanted, found = (float(z.reshape(-1)[worst]) for z in (x, y))
            raise Unmet(f"{claim}: expected {wanted:.9g}, but got {found:.9g} (parameter {place}, element {worst})")


def expect_moved(before: Sequence[Tensor], after: Sequence[Tensor], claim: str) -> None:
    """Refuse parameters that stayed where they were or are no longer finite; empty ones have nowhere to go."""
    for place, (x, y) in enumerate(zip(before, after, strict=True)):
        if not y.isfinite().all():
            raise Unmet(f"{claim}: expected finite numbers, but got {y.reshape(-1)[:4].tolist()} (parameter {place})")
        if x.numel() and torch.equal(x, y):
            raise Unmet(f"{claim}: expected an update, but parameter {place} stayed as it was")


def distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the largest difference of two lists of tensors."""
    return max(float((x.double() - y.double()).abs().max()) for x, y in zip(one, other, strict=True))


@lru_cache(maxsize=4096)
def _drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    real = torch.float64 if not dtype.is_complex else torch.complex128
    x = torch.rand(shape, generator=generator, dtype=real) * 2 - (1 + 1j if dtype.is_complex else 1)
    parts = torch.view_as_real(x) if dtype.is_complex else x
    parts.copy_(0.95 * parts + 0.05 * torch.where(parts < 0, -1.0, 1.0))
    return x.to(dtype)


def _form(x: Tensor) -> str:
    return f"{tuple(x.shape)} of {x.dtype}"
