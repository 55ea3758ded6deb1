"""SGDWR: SGDW whose rate follows a cosine that restarts, with weight decay normalised by the length of the period."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.dense_optimizer import like, settled
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.warm_restarts import WarmRestarts, descend_restarted, restart_numbers


class SGDWR(WarmRestarts):
    """Momentum with decoupled weight decay, both multiplied by a cosine that falls to eta_min and starts again.

    buf = momentum buf + g
    w = w - eta_t (lr buf + lambda w)                                   lr (g + momentum buf) with nesterov
    eta_t = eta_min + (1 - eta_min) (1 + cos(pi T_cur/T_i)) / 2,  lambda = weight_decay / sqrt(T_i)

    T_cur, T_i, lambda and base_lr are as in `AdamWR`: the decay is multiplied by eta_t and not by lr, and is the paper's normalised
    one. As in torch and in `SGDW` the rate multiplies the sum; the paper multiplies each gradient as it enters, which differs where
    the rate changes.

    Defaults: lr 0.001, momentum 0.9, weight_decay 0.025, nesterov False, T_mult 1, eta_min 0.0, base_lr None; T_0 must be given.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        momentum: decay of the sum, in [0, 1).
        weight_decay: lambda_norm, the normalised decay; the authors use 0.025 and 0.05.
        nesterov: look one step of the sum ahead; needs momentum.
        T_0, T_mult, eta_min, base_lr: as in `AdamWR`.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = SGDWR([w], lr=0.1, weight_decay=0.2, T_0=4)
        >>> w.backward()
        >>> optimizer.step()  # eta_0 = 1, lambda = 0.2 / sqrt(4): 1 - (0.1 + 0.1)
        >>> w
        tensor([0.8000], requires_grad=True)

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; loshchil/AdamW-and-SGDW.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.9,
        weight_decay: float = 0.025,
        nesterov: bool = False,
        *,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        base_lr: float | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        restarts = {"T_0": T_0, "T_mult": T_mult, "eta_min": eta_min, "base_lr": base_lr}
        own = {"momentum": momentum, "nesterov": nesterov, **restarts}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse a momentum outside [0, 1), nesterov without momentum, and bad restarts."""
        super().check_own(group)
        check_number("SGDWR(momentum=...)", group["momentum"], high=1.0)
        check_flag("SGDWR(nesterov=...)", group["nesterov"])
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("SGDWR(nesterov=True) needs momentum > 0, but got momentum=0.")

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """buf = 0."""
        return {"momentum_buffer": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update buf, and descend along it and the weights."""
        buf = state["momentum_buffer"]
        buf.mul_(group["momentum"]).add_(g)
        (u,) = settled(group, buf)
        if group["nesterov"]:
            u = g + u * group["momentum"]
        descend_restarted(w, u, t, group)

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        u = "g + momentum * momentum_buffer" if group["nesterov"] else "momentum_buffer"
        return f"""
            momentum_buffer = momentum * prev(momentum_buffer) + g
            u = eta * ({u} + decay * w)"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        return {"momentum": group["momentum"], **restart_numbers(t, group)}
