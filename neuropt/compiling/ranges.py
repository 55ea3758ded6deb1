"""The range of a rule's hyperparameter, by its name.

beta1 = 0.9          torch's name and a value that torch takes: 0 <= beta1 < 1, as in torch
beta1 = 1.5          torch's name for something else: any finite number
base = 2.718         any finite number
"""

from __future__ import annotations

import math

RANGES = {
    "lr": (0.0, math.inf),
    "eps": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "momentum": (0.0, 1.0),
    "beta": (0.0, 1.0),
    "beta1": (0.0, 1.0),
    "beta2": (0.0, 1.0),
}
"""Torch's names of hyperparameters, and the ranges that the hand-coded optimizers give them: from the first number to below the second."""


def range_of(name: str, own: float) -> tuple[float, float] | None:
    """Return the range of a hyperparameter whose value in the rule is `own`, or None for any finite number.

    >>> range_of("beta1", 0.9), range_of("beta1", 1.5), range_of("base", 2.718)
    ((0.0, 1.0), None, None)
    """
    found = RANGES.get(name)
    return found if found is not None and found[0] <= own < found[1] else None
