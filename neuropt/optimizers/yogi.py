"""Yogi: Adam whose second moment moves by a bounded amount at each step."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas, check_number
from neuropt.optimizers.dense_optimizer import descend, like, settled, with_decay
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer, decayed


class Yogi(PointwiseOptimizer):
    """Move the second moment towards g^2 by steps of (1 - beta2) g^2, so that a few large gradients are not soon forgotten.

    m = beta1 m + (1 - beta1) g,  v = v - (1 - beta2) sign(v - g^2) g^2
    w = w - lr mhat / (sqrt(vhat) + eps),  mhat = m / (1 - beta1^t),  vhat = v / (1 - beta2^t)

    Both m and v start at `initial_accumulator`, as in optax and pytorch_optimizer; `initial_momentum=0` gives the paper's m. t counts a
    parameter's own steps from 1; weight decay is coupled (g + weight_decay w).

    Defaults: lr 0.01, betas (0.9, 0.999), eps 0.001, weight_decay 0.0, initial_accumulator 1e-06, initial_momentum None.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        betas: decay of m and rate of v, each in [0, 1).
        eps: added to the denominator.
        weight_decay: coupled L2 factor.
        initial_accumulator: where v starts, and m too unless `initial_momentum` says otherwise.
        initial_momentum: where m starts; None is `initial_accumulator`.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = Yogi([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()
        >>> w
        tensor([0.9001], requires_grad=True)

    Source: Zaheer, Reddi, Sachan, Kale, Kumar, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        weight_decay: float = 0.0,
        initial_accumulator: float = 1e-6,
        initial_momentum: float | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        own = {
            "betas": betas,
            "eps": eps,
            "initial_accumulator": initial_accumulator,
            "initial_momentum": initial_momentum,
        }
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse betas outside [0, 1), a negative eps or start of v, and a start of m that is no number."""
        check_betas("Yogi(betas=...)", group["betas"], count=2)
        check_number("Yogi(eps=...)", group["eps"])
        check_number("Yogi(initial_accumulator=...)", group["initial_accumulator"])
        if group["initial_momentum"] is not None:
            check_number("Yogi(initial_momentum=...)", group["initial_momentum"], low=-float("inf"), above_low=True)

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = initial_momentum, v = initial_accumulator."""
        v = group["initial_accumulator"]
        m = v if group["initial_momentum"] is None else group["initial_momentum"]
        return {"exp_avg": like(w, m), "exp_avg_sq": like(w, v)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update m and v, and descend along their corrected quotient."""
        m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
        g = with_decay(g, w, group)
        m.lerp_(g, 1 - beta1)
        square = g * g
        v.sub_((v - square).sign() * square * (1 - beta2))
        m, v = settled(group, m, v)
        descend(w, m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + group["eps"]), group["lr"])

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        return f"""
            exp_avg = beta1 * prev(exp_avg) + (1 - beta1) * {g}
            exp_avg_sq = prev(exp_avg_sq) - (1 - beta2) * sign(prev(exp_avg_sq) - {g} ** 2) * {g} ** 2
            u = exp_avg / correction1 / (sqrt(exp_avg_sq / correction2) + eps)"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        beta1, beta2 = group["betas"]
        corrections = {"correction1": 1 - beta1**t, "correction2": 1 - beta2**t}
        return {
            "beta1": beta1,
            "beta2": beta2,
            **corrections,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
        }
