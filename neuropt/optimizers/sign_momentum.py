"""What PowerSign and AddSign share: a gradient, its average, a decay, and one formula that differs.

    m = beta m + (1 - beta) g          first, starting at 0, without bias correction
    w = w - lr update(g, m, f(t))      with the new m

PowerSign's update is base^(f sign(g) sign(m)) g, AddSign's is (alpha + f sign(g) sign(m)) g.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number, scalar
from neuropt.optimizers.sign_decay import SignDecay, check_sign_decay, sign_decay_at


class SignMomentum(Optimizer):
    """Step along the gradient, scaled by whether it agrees in sign with its moving average; see `PowerSign` and `AddSign`.

    Sparse gradients: m is decayed and updated for all rows, w changes only at the given rows.

    A group's `momentum` is a second name of beta, None unless one of torch's cyclic schedulers (OneCycleLR, CyclicLR) writes it; a number
    there wins over beta.
    """

    def __init__(
        self,
        params: ParamsT,
        own: dict[str, float],
        lr: float | Tensor,
        beta: float,
        sign_decay: SignDecay | None,
        decay_steps: int | None,
        num_periods: float | None,
        zero_after: float | None,
        weight_decay: float,
        maximize: bool,
        differentiable: bool,
    ) -> None:
        defaults = {
            "lr": lr,
            **own,
            "beta": beta,
            "sign_decay": sign_decay,
            "decay_steps": decay_steps,
            "num_periods": num_periods,
            "zero_after": zero_after,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "differentiable": differentiable,
            "momentum": None,
        }
        super().__init__(params, defaults)

    @staticmethod
    @abstractmethod
    def check_own(group: dict[str, Any]) -> None:
        """Refuse bad values of the hyperparameters that only this class has."""

    @staticmethod
    @abstractmethod
    def update(g: Tensor, m: Tensor, f: float, group: dict[str, Any]) -> Tensor:
        """Return u of w = w - lr u, for gradients g and averages m of one shape."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with hyperparameters of their own where the group gives them."""
        group, owner = self.defaults | param_group, type(self).__name__
        check_number(f"{owner}(lr=...)", group["lr"])
        self.check_own(group)
        check_number(f"{owner}(beta=...)", group["beta"], high=1.0)
        if group["momentum"] is not None:
            check_number(f"{owner}(momentum=...)", group["momentum"], high=1.0)
        check_sign_decay(owner, group["sign_decay"], group["decay_steps"], group["num_periods"], group["zero_after"])
        check_number(f"{owner}(weight_decay=...)", group["weight_decay"])
        check_flag(f"{owner}(maximize=...)", group["maximize"])
        check_flag(f"{owner}(differentiable=...)", group["differentiable"])
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient once, and return the closure's loss if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            for group in self.param_groups:
                for w in group["params"]:
                    if w.grad is not None:
                        self._step_one(w, w.grad, self.state[w], group)
        return loss

    def _step_one(self, w: Tensor, g: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["momentum_buffer"] = torch.zeros_like(w, memory_format=torch.preserve_format)
        m = state["momentum_buffer"]
        f = 1.0
        if group["sign_decay"] is not None:
            decay = (group[name] for name in ("sign_decay", "decay_steps", "num_periods", "zero_after"))
            f = sign_decay_at(state["step"].item(), *decay)
        state["step"] += 1
        if g.layout == torch.strided:
            self._step_dense(w, g, m, f, group)
        else:
            self._step_sparse(w, g, m, f, group)

    def _step_dense(self, w: Tensor, g: Tensor, m: Tensor, f: float, group: dict[str, Any]) -> None:
        g = -g if group["maximize"] else g
        if group["weight_decay"] != 0:
            g = g.add(w, alpha=group["weight_decay"])
        if w.is_complex():  # real and imaginary parts are coordinates of their own
            w, g, m = (torch.view_as_real(x) for x in (w, g, m))
        beta = _beta(group)
        m.mul_(beta).add_(g, alpha=1 - beta)
        w.sub_(self.update(g, m, f, group) * scalar(group["lr"], w.device))

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
        w[rows] = w[rows] - self.update(values, m[rows], f, group) * scalar(group["lr"], w.device)


def _beta(group: dict[str, Any]) -> float:
    beta: float = group["beta"] if group["momentum"] is None else group["momentum"]
    return beta
