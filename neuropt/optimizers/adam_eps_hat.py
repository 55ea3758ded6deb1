"""Adam with eps beside the uncorrected root, as TensorFlow and Keras have it; torch's own adds it after the correction."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas, check_number, scalar
from neuropt.optimizers.dense_optimizer import descend, like, settled, with_decay
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer, decayed


class AdamEpsHat(PointwiseOptimizer):
    """Adam as the paper's section 2 reorders it: bias is corrected in the rate, and eps joins the uncorrected root.

    m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
    w = w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)

    This eps is the paper's "epsilon hat". In torch's terms it is eps / sqrt(1 - beta2^t): thirty times as large at the first step, the same
    after some thousands. t counts a parameter's own steps from 1; weight decay is coupled (g + weight_decay w), as in torch's Adam.

    Defaults: lr 0.001, betas (0.9, 0.999), eps 1e-07, weight_decay 0.0, which are Keras's.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        betas: decay of the averages m and v, each in [0, 1).
        eps: added to the root of v.
        weight_decay: coupled L2 factor.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = AdamEpsHat([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()
        >>> w
        tensor([0.9000], requires_grad=True)

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, end of section 2; tf.keras.optimizers.Adam.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, {"betas": betas, "eps": eps}, lr, weight_decay, maximize, differentiable, foreach, fused
        )

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse betas outside [0, 1) and a negative eps."""
        check_betas("AdamEpsHat(betas=...)", group["betas"], count=2)
        check_number("AdamEpsHat(eps=...)", group["eps"])

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0, v = 0."""
        return {"exp_avg": like(w), "exp_avg_sq": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update m and v, and descend along their quotient at a corrected rate."""
        m, v, (beta1, beta2) = state["exp_avg"], state["exp_avg_sq"], group["betas"]
        g = with_decay(g, w, group)
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        m, v = settled(group, m, v)
        rate = scalar(group["lr"], w.device) * ((1 - beta2**t) ** 0.5 / (1 - beta1**t))
        descend(w, m / (v.sqrt() + group["eps"]), rate)

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        return f"""
            exp_avg = beta1 * prev(exp_avg) + (1 - beta1) * {g}
            exp_avg_sq = beta2 * prev(exp_avg_sq) + (1 - beta2) * {g} ** 2
            u = rate * (exp_avg / (sqrt(exp_avg_sq) + eps))"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        beta1, beta2 = group["betas"]
        rate = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return {
            "beta1": beta1,
            "beta2": beta2,
            "rate": rate,
            "eps": group["eps"],
            "weight_decay": group["weight_decay"],
        }
