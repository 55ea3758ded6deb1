"""Checks of hyperparameters, one message each: the argument, what it must be, what it got.

They run for every parameter group, the constructor's defaults included, since a group may override any hyperparameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor


def check_number(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, above_low: bool = False) -> None:
    """Refuse anything but a real number in [low, high), or (low, high) if `above_low`; NaN and infinity are outside.

    Args:
        name: the argument, as typed by the user, such as "PowerSign(lr=...)".
        value: a number or a one-element tensor.

    Raises:
        TypeError: when the value is no number.
        ValueError: when it is outside.

    Example:
        >>> check_number("Adam(lr=...)", 0.001)
    """
    number = _number(name, value)
    if not (low < number < high if above_low else low <= number < high):
        least = f"{'>' if above_low else '>='} {low:g}"
        raise ValueError(f"{name} must be a number {least} and < {high:g}, but got {value!r}.")


def check_integer(name: str, value: Any, low: int | None = None) -> None:
    """Refuse anything but an integer, of at least `low`.

    Raises:
        TypeError: for other types, True and False among them.
        ValueError: when it is below.

    Example:
        >>> check_integer("SnapshotLR(cycles=...)", 5, low=1)
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, but got {value!r}.")
    if low is not None and value < low:
        raise ValueError(f"{name} must be an integer >= {low}, but got {value!r}.")


def check_betas(name: str, betas: Any, count: int) -> None:
    """Refuse anything but a sequence of `count` numbers in [0, 1).

    Raises:
        TypeError: when it is no sequence of numbers.
        ValueError: when it has another length or a number outside.
    """
    if not isinstance(betas, Sequence) or isinstance(betas, str):
        raise TypeError(f"{name} must be {count} numbers, but got {betas!r}.")
    if len(betas) != count:
        raise ValueError(f"{name} must be {count} numbers, but got {len(betas)}: {betas!r}.")
    for index, beta in enumerate(betas):
        check_number(f"{name}[{index}]", beta, high=1.0)


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but True and False.

    Raises:
        TypeError: for other types.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, but got {value!r}.")


def scalar(value: float | Tensor, device: torch.device) -> float | Tensor:
    """Return a float as it is, a one-element tensor as a 0-d one on the device: 0-d tensors keep the other operand's type."""
    return value.reshape(()).to(device) if isinstance(value, Tensor) else value


def _number(name: str, value: Any) -> float:
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex():
            raise ValueError(f"{name} must be one real number, but got a tensor of shape {tuple(value.shape)}.")
        return float(value.detach())
    if isinstance(value, bool) or not isinstance(value, Real):  # numpy's scalars too
        raise TypeError(f"{name} must be a number, but got {value!r}.")
    return float(value)
