"""What values hyperparameters may have, by torch's names for them, where the class that has them does not say.

torch's own classes accept some values that ruin every weight (an infinite lr) and do not always show the value. The ranges are in
`neuropt.compiling.ranges`, which needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuropt.compiling.ranges import RANGES, Range
from neuropt.optimizers.arguments import check_betas, check_flag, check_number

FLAGS = frozenset(
    ("nesterov", "centered", "amsgrad", "decoupled_weight_decay", "maximize", "capturable", "differentiable")
)


def check_in(allowed: Range, name: str, value: Any) -> None:
    """Refuse a value outside a range; see `check_number`."""
    check_number(name, value, allowed.low, allowed.high, above_low=allowed.above_low)


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
            check_in(RANGES[name], f"{owner}({name}=...)", value)
    if hyper.get("nesterov") is True and (hyper.get("momentum") == 0 or hyper.get("dampening", 0) != 0):
        got = f"momentum={hyper.get('momentum')}, dampening={hyper.get('dampening', 0)}"
        raise ValueError(f"{owner}(nesterov=True) needs momentum > 0 and dampening = 0, but got {got}.")
