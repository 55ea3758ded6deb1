"""What PowerSign and AddSign share: a gradient, its average, a decay, and one formula that differs.

    m = beta m + (1 - beta) g          first, starting at 0, without bias correction
    w = w - lr update(g, m, f(t))      with the new m

PowerSign's update is base^(f sign(g) sign(m)) g, AddSign's is (alpha + f sign(g) sign(m)) g.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from neuropt.optimizers.arguments import check_number, scalar
from neuropt.optimizers.dense_optimizer import descend, like, with_decay
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer
from neuropt.optimizers.sign_decay import check_sign_decay, sign_decay_at

DECAY = ("sign_decay", "decay_steps", "num_periods", "zero_after")
"""The hyperparameters of f."""


class SignMomentum(PointwiseOptimizer):
    """Step along the gradient, scaled by whether it agrees in sign with its moving average; see `PowerSign` and `AddSign`.

    Sparse gradients: m is decayed and updated for all rows, w changes only at the given rows.

    A group's `momentum` is a second name of beta, None unless one of torch's cyclic schedulers (OneCycleLR, CyclicLR) writes it; a number
    there wins over beta.
    """

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse a beta or momentum outside [0, 1), and a decay that is unknown or lacks its T."""
        check_number(f"{cls.__name__}(beta=...)", group["beta"], high=1.0)
        if group["momentum"] is not None:
            check_number(f"{cls.__name__}(momentum=...)", group["momentum"], high=1.0)
        check_sign_decay(cls.__name__, *(group[name] for name in DECAY))

    @staticmethod
    @abstractmethod
    def direction(g: Tensor, m: Tensor, f: float, group: dict[str, Any]) -> Tensor:
        """Return u of w = w - lr u, for gradients g and averages m of one shape."""

    @staticmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """m = 0."""
        return {"momentum_buffer": like(w)}

    @classmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update m, and descend along the direction with the new one."""
        g, m, beta = with_decay(g, w, group), state["momentum_buffer"], _beta(group)
        m.mul_(beta).add_(g, alpha=1 - beta)
        descend(w, cls.direction(g, m, _f(t, group), group), group["lr"])

    @classmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """What the equations read."""
        return {"beta": _beta(group), "f": _f(t, group), "weight_decay": group["weight_decay"]}

    def step_one(self, w: Tensor, g: Tensor, state: State, group: dict[str, Any]) -> None:
        """Update dense and sparse views of what there is."""
        if g.layout == torch.strided:
            return super().step_one(w, g, state, group)
        self.begin(w, state, group)
        state["step"] += 1
        self._step_sparse(w, g, state["momentum_buffer"], _f(state["step"].item(), group), group)

    def _step_sparse(self, w: Tensor, g: Tensor, m: Tensor, f: float, group: dict[str, Any]) -> None:
        if g.layout != torch.sparse_coo:
            raise RuntimeError(
                f"{type(self).__name__} takes dense and sparse COO gradients, but got {g.layout}; call .to_sparse_coo()."
            )
        if group["weight_decay"] != 0:
            raise RuntimeError(
                f"{type(self).__name__}(weight_decay={group['weight_decay']}) needs dense gradients, but got a sparse "
                f"one; give that parameter a group with weight_decay=0."
            )
        g = g.coalesce()  # from here each row comes once
        rows, values = tuple(g.indices()), -g.values() if group["maximize"] else g.values()
        if w.is_complex():
            w, values, m = (torch.view_as_real(x) for x in (w, values, m))
        beta = _beta(group)
        m.mul_(beta)
        m[rows] = m[rows].add(values, alpha=1 - beta)
        w[rows] = w[rows] - self.direction(values, m[rows], f, group) * scalar(group["lr"], w.device)


def _beta(group: dict[str, Any]) -> float:
    beta: float = group["beta"] if group["momentum"] is None else group["momentum"]
    return beta


def _f(t: Any, group: dict[str, Any]) -> float:
    """Return f at the steps done before step t."""
    return 1.0 if group["sign_decay"] is None else sign_decay_at(float(t) - 1.0, *(group[name] for name in DECAY))
