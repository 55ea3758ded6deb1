"""The range of a hyperparameter, by torch's name for it.

beta1 = 0.9          in a rule of the zoo, or a class of torch: 0 <= beta1 < 1; in a rule of one's own: 0 <= beta1
beta1 = -1.5         torch's name for something else: any finite number
half_life = 3        a name of one's own: any finite number

Three users: torch's own classes, which do not check all of theirs; rules, whose hyperparameters may carry torch's names; and exports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Range(NamedTuple):
    """The numbers in [low, high), or (low, high) if `above_low`.

    Example:
        >>> DECAY.holds(0.9), DECAY.holds(1.0)
        (True, False)
    """

    low: float = 0.0
    high: float = math.inf
    above_low: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the value is inside."""
        return self.low <= value < self.high and not (self.above_low and value == self.low)


NOT_NEGATIVE, DECAY, POSITIVE = Range(), Range(high=1.0), Range(above_low=True)
FINITE = Range(-math.inf, math.inf, above_low=True)

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **dict.fromkeys(("momentum", "alpha", "rho", "beta", "beta1", "beta2"), DECAY),
        **dict.fromkeys(("lr", "weight_decay", "eps", "lr_decay", "momentum_decay"), NOT_NEGATIVE),
        **dict.fromkeys(("final_lr", "magnitude_lr", "direction_lr", "graft_eps"), NOT_NEGATIVE),
        **dict.fromkeys(("initial_accumulator_value", "initial_accumulator", "dampening"), NOT_NEGATIVE),
        **dict.fromkeys(("base", "base_lr", "num_periods"), POSITIVE),
        "gamma": Range(high=1.0, above_low=True),
    }
)
"""By name, for torch's classes and the rules of the zoo; a name that is not here may have any finite value."""

SIZES = ("lr", "eps", "weight_decay", "momentum", "beta", "beta1", "beta2")
"""Names of what is not negative in any rule; but a sum that keeps all, with a beta of 1, is a rule like another."""


def range_of(name: str, own: float, *, of_zoo: bool) -> Range | None:
    """Return the range of a hyperparameter whose value in its rule is `own`, or None for any finite number.

    A range that the rule's own value breaks is not its range: AddSign's alpha is 1.

    >>> range_of("beta1", 0.9, of_zoo=True), range_of("beta1", 1.5, of_zoo=True)
    (Range(low=0.0, high=1.0, above_low=False), None)
    >>> range_of("beta1", 0.9, of_zoo=False), range_of("gamma", 0.5, of_zoo=False)
    (Range(low=0.0, high=inf, above_low=False), None)
    """
    found = RANGES.get(name) if of_zoo else NOT_NEGATIVE if name in SIZES else None
    return found if found is not None and found.holds(own) else None
