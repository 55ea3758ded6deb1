"""RMSProp with eps inside the root, as TensorFlow, Keras and optax have it; torch's own adds it to the root."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.dense_optimizer import descend, like, settled, with_decay
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer, decayed


class RMSpropEpsInside(PointwiseOptimizer):
    """Divide the gradient by the root of its averaged square plus eps.

    v = alpha v + (1 - alpha) g^2,  gbar = alpha gbar + (1 - alpha) g
    buf = momentum buf + g / sqrt(v + eps)                              g / sqrt(max(v - gbar^2, 0) + eps) if centered
    w = w - lr buf

    Where v is 0 the quotient is g / sqrt(eps), ten thousand times g, and not g / eps, a hundred million times. v starts at
    `initial_accumulator`: 0 as in Keras and optax; 1 gives the slow start of TensorFlow 1. As in torch, lr multiplies the sum buf and
    not what is added to it, which differs from TensorFlow and optax only where lr changes; weight decay is coupled
    (g + weight_decay w). The maximum with 0 is ours: rounding makes v - gbar^2 negative where gradients hardly change, and the root of
    that would be NaN.

    Defaults: lr 0.01, alpha 0.99, eps 1e-08, weight_decay 0.0, momentum 0.0, centered False, initial_accumulator 0.0; torch's where it has
    them, Keras has alpha 0.9 and eps 1e-07.

    Args:
        params, lr, maximize, differentiable, foreach, fused: as in torch's optimizers.
        alpha: decay of the averages v and gbar, in [0, 1).
        eps: added to v, under the root.
        weight_decay: coupled L2 factor.
        momentum: decay of the sum of updates, in [0, 1).
        centered: divide by an estimate of the standard deviation instead.
        initial_accumulator: where v starts.

    Raises:
        ValueError, TypeError: for a bad hyperparameter, in any group, named with its value.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = RMSpropEpsInside([w], lr=0.1, alpha=0.0, eps=3.0)
        >>> w.backward()
        >>> optimizer.step()  # 1 - 0.1 * 1 / sqrt(1 + 3)
        >>> w
        tensor([0.9500], requires_grad=True)

    Source: Tieleman and Hinton, "Lecture 6.5: rmsprop", 2012; optax.rmsprop, tf.keras.optimizers.RMSprop.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        initial_accumulator: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        averages = {"alpha": alpha, "eps": eps, "initial_accumulator": initial_accumulator}
        own = {**averages, "momentum": momentum, "centered": centered}
        super().__init__(params, own, lr, weight_decay, maximize, differentiable, foreach, fused)

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse an alpha or momentum outside [0, 1), a negative eps or start of v."""
        check_number("RMSpropEpsInside(alpha=...)", group["alpha"], high=1.0)
        check_number("RMSpropEpsInside(eps=...)", group["eps"])
        check_number("RMSpropEpsInside(momentum=...)", group["momentum"], high=1.0)
        check_flag("RMSpropEpsInside(centered=...)", group["centered"])
        check_number("RMSpropEpsInside(initial_accumulator=...)", group["initial_accumulator"])

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """v = initial_accumulator, buf = 0 (a scheduler may raise the momentum later), and gbar = 0 if centered."""
        state = {"square_avg": like(w, group["initial_accumulator"]), "momentum_buffer": like(w)}
        return state | ({"grad_avg": like(w)} if group["centered"] else {})

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update v, gbar and buf, and descend along buf."""
        v, buf, alpha = state["square_avg"], state["momentum_buffer"], group["alpha"]
        g = with_decay(g, w, group)
        v.mul_(alpha).addcmul_(g, g, value=1 - alpha)
        (v,) = settled(group, v)
        if group["centered"]:
            (gbar,) = settled(group, state["grad_avg"].lerp_(g, 1 - alpha))
            v = (v - gbar * gbar).clamp(min=0)
        buf.mul_(group["momentum"]).add_(g / (v + group["eps"]).sqrt())
        (u,) = settled(group, buf)
        descend(w, u, group["lr"])

    @classmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """The step as equations."""
        g = decayed(group)
        centered = f"grad_avg = alpha * prev(grad_avg) + (1 - alpha) * {g}" if group["centered"] else ""
        square = "max(square_avg - grad_avg ** 2, 0)" if group["centered"] else "square_avg"
        return f"""
            square_avg = alpha * prev(square_avg) + (1 - alpha) * {g} ** 2
            {centered}
            momentum_buffer = momentum * prev(momentum_buffer) + {g} / sqrt({square} + eps)
            u = momentum_buffer"""

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        return {name: group[name] for name in ("alpha", "momentum", "eps", "weight_decay")}
