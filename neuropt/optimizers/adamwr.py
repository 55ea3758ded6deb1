"""AdamWR: AdamW whose rate follows a cosine that restarts, with weight decay normalised by the length of the period."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas, check_number
from neuropt.optimizers.dense_optimizer import like, settled
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.warm_restarts import WarmRestarts, descend_restarted, restart_numbers


class AdamWR(WarmRestarts):
    """Adam with decoupled weight decay, both multiplied by a cosine that falls to eta_min and starts again.

    m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
    w = w - eta_t (lr mhat / (sqrt(vhat) + eps) + lambda w),  mhat = m / (1 - beta1^t),  vhat = v / (1 - beta2^t)
    eta_t = eta_min + (1 - eta_min) (1 + cos(pi T_cur/T_i)) / 2,  lambda = weight_decay / sqrt(T_i)

    T_cur of the T_i steps of the present period are done; T_i is T_0 at first and is multiplied by T_mult at each restart. Steps are
    the parameter's own.

    As in the paper the decay is multiplied by the schedule's multiplier eta_t and not by lr, unlike torch's AdamW. A scheduler that
    halves lr halves it too: it is lr / base_lr eta_t lambda w, base_lr being the lr that a group starts with. lambda is the paper's
    lambda_norm sqrt(b/(B T_i)) with T_i in epochs; with b of B examples a batch an epoch has B/b steps, so neither has to be given.

    Defaults: lr 0.001, betas (0.9, 0.999), eps 1e-08, weight_decay 0.025, T_mult 1, eta_min 0.0, base_lr None; T_0 must be given.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        betas: decay of the averages m and v, each in [0, 1).
        eps: added to the root of vhat.
        weight_decay: lambda_norm, the normalised decay; the authors use 0.025 and 0.05.
        T_0: steps (not epochs) of the first period.
        T_mult: factor of the periods' length, a whole number.
        eta_min: the lowest eta_t, in [0, 1): a factor of lr, where torch's CosineAnnealingWarmRestarts takes a rate.
        base_lr: the rate that lr is measured against for the decay; None is each group's lr at its start, which then must be above 0.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = AdamWR([w], lr=0.1, weight_decay=0.2, T_0=4)
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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.025,
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
        own = {"betas": betas, "eps": eps, **restarts}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse betas outside [0, 1), a negative eps, and bad restarts."""
        super().check_own(group)
        check_betas("AdamWR(betas=...)", group["betas"], count=2)
        check_number("AdamWR(eps=...)", group["eps"])

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0, v = 0."""
        return {"exp_avg": like(w), "exp_avg_sq": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update m and v, and descend along their corrected quotient and the weights."""
        m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        m, v = settled(group, m, v)
        descend_restarted(w, m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + group["eps"]), t, group)

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        return """
            exp_avg = beta1 * prev(exp_avg) + (1 - beta1) * g
            exp_avg_sq = beta2 * prev(exp_avg_sq) + (1 - beta2) * g ** 2
            u = eta * (exp_avg / correction1 / (sqrt(exp_avg_sq / correction2) + eps) + decay * w)"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        beta1, beta2 = group["betas"]
        corrections = {"correction1": 1 - beta1**t, "correction2": 1 - beta2**t}
        return {"beta1": beta1, "beta2": beta2, **corrections, "eps": group["eps"], **restart_numbers(t, group)}
