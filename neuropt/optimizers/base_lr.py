"""The learning rate that a group started with, for optimizers that measure the present one against it.

    AdaBound: final_lr lr / base_lr        SGDW(decay="schedule"): weight_decay lr / base_lr

It is `base_lr` of the parameter group, so that it survives `add_param_group`, deepcopy, pickle and `state_dict`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from neuropt.optimizers.arguments import check_number


def base_lr_of(owner: str, group: dict[str, Any]) -> float:
    """Return base_lr of a new group: what it or the constructor says, or else its lr, which then must be above 0.

    Args:
        owner: the class, for the message.
        group: the new group over the defaults, its lr checked already.

    Raises:
        TypeError: for a base_lr that is no number.
        ValueError: for one that is not above 0.

    Example:
        >>> base_lr_of("AdaBound", {"lr": 0.01, "base_lr": None})
        0.01
    """
    if group["base_lr"] is not None:
        check_number(f"{owner}(base_lr=...)", group["base_lr"], above_low=True)
        return float(group["base_lr"])
    lr = group["lr"].item() if isinstance(group["lr"], Tensor) else float(group["lr"])
    if lr == 0:
        raise ValueError(
            f"{owner}(lr=...) must be > 0 where a group starts, since later rates are measured against it, but got "
            f"{group['lr']!r}; start above 0 and schedule it, or pass base_lr=..."
        )
    return lr
