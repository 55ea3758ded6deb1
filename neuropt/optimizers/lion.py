"""Lion: the sign of an interpolation between the gradient and a slower average."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas
from neuropt.optimizers.dense_optimizer import descend, like
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer


class Lion(PointwiseOptimizer):
    """Step by the sign of an average, so that every element moves equally far; found by a search over programs.

    w = w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w)
    m = beta2 m + (1 - beta2) g

    The sign is taken with the old m; sign(0) = 0. Weight decay is decoupled and multiplied by lr, as in the authors' code.

    Defaults: lr 0.0001, betas (0.9, 0.99), weight_decay 0.0.

    Args:
        params, maximize, differentiable, foreach, fused: as in torch's optimizers.
        lr: as there; a third to a tenth of Adam's.
        betas: of the interpolation and of the average m, each in [0, 1).
        weight_decay: decoupled; three to ten times AdamW's.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = Lion([w], lr=0.1)
        >>> (5 * w).backward()
        >>> optimizer.step()
        >>> w
        tensor([0.9000], requires_grad=True)

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023; google/automl, lion/lion_pytorch.py.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        own = {"betas": betas}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse betas outside [0, 1)."""
        check_betas("Lion(betas=...)", group["betas"], count=2)

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0."""
        return {"exp_avg": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Take the sign with the old m, then update m."""
        m, (beta1, beta2) = state["exp_avg"], group["betas"]
        # products and sums apart: an fma's other last bit may change the sign of a difference near 0
        u = (m * beta1 + g * (1 - beta1)).sign()
        if group["weight_decay"] != 0:
            u = u + w * group["weight_decay"]
        m.mul_(beta2).add_(g * (1 - beta2))
        descend(w, u, group["lr"])

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        decay = " + weight_decay * w" if group["weight_decay"] != 0 else ""
        return f"""
            exp_avg = beta2 * prev(exp_avg) + (1 - beta2) * g
            u = sign(beta1 * prev(exp_avg) + (1 - beta1) * g){decay}"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        beta1, beta2 = group["betas"]
        return {"beta1": beta1, "beta2": beta2, "weight_decay": group["weight_decay"]}
