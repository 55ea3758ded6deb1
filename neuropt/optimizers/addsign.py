"""AddSign: take a larger step where the gradient agrees in sign with its average, a smaller or no step where it does not."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_number
from neuropt.optimizers.pointwise_optimizer import decayed
from neuropt.optimizers.sign_decay import SignDecay
from neuropt.optimizers.sign_momentum import SignMomentum


class AddSign(SignMomentum):
    """Scale each gradient by a constant plus its agreement in sign with its moving average.

    m = beta m + (1 - beta) g,  w = w - lr (alpha + f(t) sign(g) sign(m)) g

    The average is updated first and not corrected for starting at 0, which a sign does not see; sign(0) = 0. f(t) is 1 without
    `sign_decay`; t counts the parameter's steps before this one.

    Defaults: lr 0.1, alpha 1.0, beta 0.9, sign_decay None (f = 1), weight_decay 0.0.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        alpha: the constant, at least 0; the paper uses 1 and 2.
        beta: decay of the average m, in [0, 1).
        sign_decay: f: None (1), "linear" (AddSign-ld), "cosine" (-cd) or "restart" (-rd), over `decay_steps` steps.
        num_periods, zero_after: of the cosine (0.5 periods unless given) and the restart (1); after how many of them f stays 0.
        weight_decay: coupled L2 factor, for dense gradients.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient with weight decay or not in COO layout.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = AddSign([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()  # the first gradient agrees with its average: 1 - 0.1 * (1 + 1) * 1
        >>> w
        tensor([0.8000], requires_grad=True)

    Source: Bello, Zoph, Vasudevan, Le, "Neural Optimizer Search with Reinforcement Learning", ICML 2017.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        alpha: float = 1.0,
        beta: float = 0.9,
        sign_decay: SignDecay | None = None,
        decay_steps: int | None = None,
        num_periods: float | None = None,
        zero_after: float | None = None,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        f = {
            "sign_decay": sign_decay,
            "decay_steps": decay_steps,
            "num_periods": num_periods,
            "zero_after": zero_after,
        }
        own = {"alpha": alpha, "beta": beta, **f, "momentum": None}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse a negative alpha, and what `SignMomentum` refuses."""
        super().check_own(group)
        check_number("AddSign(alpha=...)", group["alpha"])

    @staticmethod
    def direction(g: Tensor, m: Tensor, f: float, group: dict[str, Any]) -> Tensor:
        """Return (alpha + f sign(g) sign(m)) g."""
        u: Tensor = (group["alpha"] + f * g.sign() * m.sign()) * g
        return u

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        return f"""
            momentum_buffer = beta * prev(momentum_buffer) + (1 - beta) * {g}
            u = (alpha + f * sign({g}) * sign(momentum_buffer)) * {g}"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        return {**super().numbers(t, group), "alpha": group["alpha"]}
