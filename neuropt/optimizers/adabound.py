"""AdaBound and AMSBound: Adam whose rate for each element is held between two bounds that close on that of SGD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas, check_number, scalar
from neuropt.optimizers.base_lr import base_lr_of
from neuropt.optimizers.dense_optimizer import like, settled, with_decay
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer, decayed


class AdaBound(PointwiseOptimizer):
    """Begin as Adam and end as SGD: clamp Adam's rate for each element between bounds that meet at final_lr.

    m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
    step = lr sqrt(1 - beta2^t) / (1 - beta1^t),  final = final_lr lr / base_lr
    w = w - clamp(step / (sqrt(v) + eps), final (1 - 1/(gamma t + 1)), final (1 + 1/(gamma t))) m

    As in the authors' code eps is added to the root of the uncorrected v. base_lr is the lr that a parameter group starts with, and part of
    the group: a scheduler that halves lr halves the bounds. A group therefore starts above 0; it may be scheduled to 0. t counts a
    parameter's own steps from 1; weight decay is coupled (g + weight_decay w).

    Defaults: lr 0.001, betas (0.9, 0.999), final_lr 0.1, gamma 0.001, eps 1e-08, weight_decay 0.0, base_lr None.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        betas: decay of the averages m and v, each in [0, 1).
        final_lr: the rate of SGD at the end.
        gamma: how fast the bounds close, in (0, 1).
        eps: added to the denominator.
        weight_decay: coupled L2 factor.
        base_lr: the rate that bounds are measured against; None is each group's lr at its start.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value; so is an lr of 0 at the start.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = AdaBound([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()  # the bounds are wide apart at first: Adam's step
        >>> w, optimizer.param_groups[0]["base_lr"]
        (tensor([0.9000], requires_grad=True), 0.1)

    Source: Luo, Xiong, Liu, Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019; Luolc/AdaBound.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        base_lr: float | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        own = {"betas": betas, "final_lr": final_lr, "gamma": gamma, "eps": eps, "base_lr": base_lr}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse betas outside [0, 1), a negative eps or final_lr, and a gamma outside (0, 1)."""
        check_betas(f"{cls.__name__}(betas=...)", group["betas"], count=2)
        check_number(f"{cls.__name__}(final_lr=...)", group["final_lr"])
        check_number(f"{cls.__name__}(gamma=...)", group["gamma"], high=1.0, above_low=True)
        check_number(f"{cls.__name__}(eps=...)", group["eps"])

    @classmethod
    def kept(cls, group: dict[str, Any]) -> dict[str, Any]:
        """The lr that the group starts with."""
        return {"base_lr": base_lr_of(cls.__name__, group)}

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0, v = 0."""
        return {"exp_avg": like(w), "exp_avg_sq": like(w)}

    @staticmethod
    def second_moment(state: State) -> Tensor:
        """Return what the root is taken of."""
        return state["exp_avg_sq"]

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update m and v, and descend along m at a bounded rate."""
        m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
        g = with_decay(g, w, group)
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        m, v = settled(group, m, cls.second_moment(state))

        lr = scalar(group["lr"], w.device)
        step = lr * ((1 - beta2**t) ** 0.5 / (1 - beta1**t))
        final = lr * (group["final_lr"] / group["base_lr"])
        low, high = final * (1 - 1 / (group["gamma"] * t + 1)), final * (1 + 1 / (group["gamma"] * t))
        w.sub_(_clamp(step / (v.sqrt() + group["eps"]), low, high) * m)

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        return f"""
            exp_avg = beta1 * prev(exp_avg) + (1 - beta1) * {g}
            exp_avg_sq = beta2 * prev(exp_avg_sq) + (1 - beta2) * {g} ** 2
            u = clamp(rate / (sqrt(exp_avg_sq) + eps), low, high) * exp_avg"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read: the bounds without lr among them."""
        beta1, beta2 = group["betas"]
        rate = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        final = group["final_lr"] / group["base_lr"]
        bounds = {"low": final * (1 - 1 / (group["gamma"] * t + 1)), "high": final * (1 + 1 / (group["gamma"] * t))}
        own = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "weight_decay": group["weight_decay"]}
        return {"rate": rate, **bounds, **own}


class AMSBound(AdaBound):
    """AdaBound with the largest second moment so far in place of the present one.

    s = max(s, v),  w = w - clamp(step / (sqrt(s) + eps), final (1 - 1/(gamma t + 1)), final (1 + 1/(gamma t))) m

    All else is as in `AdaBound`, arguments and errors included; s is the maximum of the uncorrected v, as in the authors' code.

    Defaults: lr 0.001, betas (0.9, 0.999), final_lr 0.1, gamma 0.001, eps 1e-08, weight_decay 0.0, base_lr None.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = AMSBound([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()
        >>> w
        tensor([0.9000], requires_grad=True)

    Source: Luo, Xiong, Liu, Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", ICLR 2019; Luolc/AdaBound.
    """

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0, v = 0, s = 0."""
        return {"exp_avg": like(w), "exp_avg_sq": like(w), "max_exp_avg_sq": like(w)}

    @staticmethod
    def second_moment(state: State) -> Tensor:
        """s = max(s, v)."""
        s, v = state["max_exp_avg_sq"], state["exp_avg_sq"]
        if torch.is_grad_enabled():  # the next step changes both in place, which autograd must not see
            return s.copy_(torch.maximum(s.clone(), v.clone()))
        return s.copy_(torch.maximum(s, v))

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        return f"""
            exp_avg = beta1 * prev(exp_avg) + (1 - beta1) * {g}
            exp_avg_sq = beta2 * prev(exp_avg_sq) + (1 - beta2) * {g} ** 2
            max_exp_avg_sq = max(prev(max_exp_avg_sq), exp_avg_sq)
            u = clamp(rate / (sqrt(max_exp_avg_sq) + eps), low, high) * exp_avg"""


def _clamp(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    if isinstance(low, Tensor) and isinstance(
        high, Tensor
    ):  # maximum and minimum would promote x to the type of a bound
        return torch.clamp(x, low.to(x.dtype), high.to(x.dtype))
    assert not isinstance(low, Tensor)
    assert not isinstance(high, Tensor)
    return x.clamp(low, high)
