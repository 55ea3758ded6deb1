"""What values hyperparameters may have, by torch's names for them, where the class that has them does not say.

Two users: torch's own classes, which accept some values that ruin every weight (an infinite lr) and do not always show the value;
and the rules of the zoo, whose hyperparameters carry torch's names. A rule of one's own may call anything beta.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from neuropt.optimizers.arguments import check_betas, check_flag, check_number


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

    def check(self, name: str, value: Any) -> None:
        """Refuse a value outside; see `check_number`."""
        check_number(name, value, self.low, self.high, above_low=self.above_low)


NOT_NEGATIVE, DECAY, POSITIVE = Range(), Range(high=1.0), Range(above_low=True)

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
"""By name; a name that is not here may have any finite value."""

FLAGS = frozenset(
    ("nesterov", "centered", "amsgrad", "decoupled_weight_decay", "maximize", "capturable", "differentiable")
)


def is_torchs(factory: object) -> bool:
    """Return whether a class is one of torch, whose arguments it checks less strictly than ours do."""
    return getattr(factory, "__module__", "").startswith("torch.optim")


def check_torch_values(owner: str, hyper: Mapping[str, Any]) -> None:
    """Refuse values that a class of torch should not get: in its constructor, or in a group that is added.

    Args:
        owner: the name of the optimizer, for the message.
        hyper: hyperparameters; those of other names are left alone.

    Raises:
        TypeError: for a value of another type.
        ValueError: for a value out of range.

    Example:
        >>> check_torch_values("adam", {"lr": 0.1, "betas": (0.9, 0.999)})
    """
    for name, value in hyper.items():
        if name == "betas":
            check_betas(f"{owner}(betas=...)", value, count=2)
        elif name in FLAGS:
            check_flag(f"{owner}({name}=...)", value)
        elif name in RANGES:
            RANGES[name].check(f"{owner}({name}=...)", value)
    if hyper.get("nesterov") is True and (hyper.get("momentum") == 0 or hyper.get("dampening", 0) != 0):
        got = f"momentum={hyper.get('momentum')}, dampening={hyper.get('dampening', 0)}"
        raise ValueError(f"{owner}(nesterov=True) needs momentum > 0 and dampening = 0, but got {got}.")


def check_zoo_values(owner: str, defaults: Mapping[str, float], values: Mapping[str, Any]) -> None:
    """Refuse values that the hyperparameters of a rule of the zoo should not have.

    A range that the rule's own value breaks is not its range: AddSign's alpha is 1.

    Args:
        owner: for the message.
        defaults: the rule's own values.
        values: the present ones.

    Raises:
        ValueError: for a value out of range.
    """
    for name, own in defaults.items():
        if name in RANGES and RANGES[name].holds(own):
            RANGES[name].check(f"{owner}({name}=...)", values[name])
