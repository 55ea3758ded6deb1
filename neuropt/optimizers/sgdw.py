"""SGDW: momentum with weight decay that does not pass through the momentum."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.base_lr import base_lr_of
from neuropt.optimizers.dense_optimizer import descend, like, settled
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer

Decay = Literal["lr", "schedule"]


class SGDW(PointwiseOptimizer):
    """Add gradients up in a decaying sum, and shrink the weights beside it.

    buf = momentum buf + g
    w = w - lr (buf + weight_decay w)                                   with the old w on the right
    w = w - lr (g + momentum buf + weight_decay w)                      with nesterov

    The decay is multiplied by lr, as in torch's AdamW. With `decay="schedule"` it is multiplied by the schedule alone, lr / base_lr,
    as in the paper and Loshchilov's own code: w = w - lr buf - (lr / base_lr) weight_decay w. There base_lr is the lr that a parameter
    group starts with, which must be above 0, and part of the group.

    Defaults: lr 0.001, momentum 0.9, weight_decay 0.01, nesterov False, decay 'lr', base_lr None.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        momentum: decay of the sum, in [0, 1).
        weight_decay: decoupled decay of the weights.
        nesterov: look one step of the sum ahead; needs momentum.
        decay: what multiplies weight_decay: "lr" or "schedule".
        base_lr: the rate that the schedule is measured against; None is each group's lr at its start.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = SGDW([w], lr=0.1, weight_decay=0.5)
        >>> w.backward()
        >>> optimizer.step()  # 1 - 0.1 * (1 + 0.5 * 1)
        >>> w
        tensor([0.8500], requires_grad=True)

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 1e-2,
        nesterov: bool = False,
        decay: Decay = "lr",
        base_lr: float | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        own = {"momentum": momentum, "nesterov": nesterov, "decay": decay, "base_lr": base_lr}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse a momentum outside [0, 1), nesterov without momentum, and an unknown decay."""
        check_number("SGDW(momentum=...)", group["momentum"], high=1.0)
        check_flag("SGDW(nesterov=...)", group["nesterov"])
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("SGDW(nesterov=True) needs momentum > 0, but got momentum=0.")
        if group["base_lr"] is not None:
            check_number("SGDW(base_lr=...)", group["base_lr"], above_low=True)
        if group["decay"] not in ("lr", "schedule"):
            raise ValueError(f"SGDW(decay=...) must be 'lr' or 'schedule', but got {group['decay']!r}.")

    @classmethod
    def kept(cls, group: dict[str, Any]) -> dict[str, Any]:
        """The lr that the group starts with, where the decay follows the schedule."""
        return {"base_lr": base_lr_of("SGDW", group)} if group["decay"] == "schedule" else {}

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """buf = 0."""
        return {"momentum_buffer": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update buf, and descend along it and the weights."""
        buf, momentum = state["momentum_buffer"], group["momentum"]
        buf.mul_(momentum).add_(g)
        (u,) = settled(group, buf)
        if group["nesterov"]:
            u = g + u * momentum
        # lr wd of the formula, or (lr / base_lr) wd: both have the factor lr
        weight_decay = group["weight_decay"] / (group["base_lr"] if group["decay"] == "schedule" else 1.0)
        if weight_decay != 0:
            u = u + w * weight_decay
        descend(w, u, group["lr"])

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        u = "g + momentum * momentum_buffer" if group["nesterov"] else "momentum_buffer"
        decay = " + weight_decay * w" if group["weight_decay"] != 0 else ""
        return f"""
            momentum_buffer = momentum * prev(momentum_buffer) + g
            u = {u}{decay}"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        base = group["base_lr"] if group["decay"] == "schedule" else 1.0
        return {"momentum": group["momentum"], "weight_decay": group["weight_decay"] / base}
