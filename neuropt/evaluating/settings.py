"""Optimizers with values of hyperparameters, as typed: `rmsprop(alpha=0.99)`, `adamw(weight_decay=0|0.01|0.1, beta2=0.95|0.999)`."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from neuropt.evaluating.tuning import Axis

_CALL = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)\((?P<values>\s*[A-Za-z_]\w*\s*=(?!=)[^()]*)\)", re.ASCII)
_VALUES = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=(?!=)\s*(?P<values>[^=]+)", re.ASCII)


def read_settings(text: str) -> tuple[str, tuple[Axis, ...]] | None:
    """Return the name and the values of each hyperparameter, or None where the text is of another kind.

    Raises:
        ValueError: values that are no numbers, or a hyperparameter that comes twice.

    >>> read_settings("adamw(weight_decay=0|0.1, beta2=0.99)")
    ('adamw', (('weight_decay', (0.0, 0.1)), ('beta2', (0.99,))))
    >>> read_settings("sign(g)") is None
    True
    """
    match = _CALL.fullmatch(text.strip())
    if match is None:
        return None
    axes: list[Axis] = []
    for part in match["values"].split(","):
        found = _VALUES.fullmatch(part)
        if found is None:
            raise ValueError(
                f"{text!r} must hold NAME=VALUE or NAME=VALUE|VALUE between commas, but got {part.strip()!r}"
            )
        name = found["name"]
        if name in dict(axes):
            raise ValueError(f"{text!r} names {name} twice")
        values = tuple(_number(value, name, text) for value in found["values"].split("|"))
        if len(set(values)) < len(values):
            raise ValueError(f"{text!r} gives {name} one value twice")
        axes.append((name, values))
    return match["name"], tuple(axes)


def check_axes(text: str, axes: tuple[Axis, ...], known: Collection[str]) -> None:
    """Raise a ValueError for a hyperparameter that the optimizer does not have; lr is tuned anyway."""
    for name, _ in axes:
        if name == "lr":
            raise ValueError(f"{text!r}: lr is tuned for every optimizer; leave it out")
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ValueError(f"{text!r}: there is no hyperparameter {name!r} that is a number; there are {there}")


def _number(value: str, name: str, text: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text!r}: {name} must be a finite number, but got {value.strip()!r}")
    return number
