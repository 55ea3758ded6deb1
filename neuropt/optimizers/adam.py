"""Adam, written out in one file, with the arithmetic of `torch.optim.Adam` operation by operation.

It is the reference that compiled rules are compared with. Use torch's own for speed: it has fused and grouped kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_betas, check_flag, check_number, scalar


class Adam(Optimizer):
    """Divide the averaged gradient by the root of its averaged square, both corrected for starting at 0.

    m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
    w = w - lr mhat / (sqrt(vhat) + eps),  mhat = m / (1 - beta1^t),  vhat = v / (1 - beta2^t)

    t counts a parameter's own steps from 1, eps is added after the correction, weight decay is coupled (g + weight_decay w), all as
    in torch. In float16, where eps is 0, the quotient is taken in float32, so that zero gradients leave a parameter untouched; v still
    underflows for gradients under about 0.008, so small-gradient models want float32 parameters or bfloat16.

    Args:
        params: parameters, named parameters or parameter groups.
        lr: learning rate, a number or a one-element tensor.
        betas: decay of the averages m and v, each in [0, 1).
        eps: added to the denominator.
        weight_decay: coupled L2 factor.
        maximize: ascend instead of descend.
        differentiable: let autograd see the step (for learning through it); slower.

    Raises:
        ValueError: for a hyperparameter out of range, in any group, or an empty parameter list.
        TypeError: for a hyperparameter of another type or an unknown keyword.
        RuntimeError: in `step`, for a sparse gradient.

    Example:
        >>> import torch
        >>> w = torch.ones(1, requires_grad=True)
        >>> optimizer = Adam([w], lr=0.1)
        >>> w.backward()
        >>> optimizer.step()
        >>> w
        tensor([0.9000], requires_grad=True)

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with hyperparameters of their own where the group gives them."""
        group = self.defaults | param_group
        check_number("Adam(lr=...)", group["lr"])
        check_betas("Adam(betas=...)", group["betas"], count=2)
        check_number("Adam(eps=...)", group["eps"])
        check_number("Adam(weight_decay=...)", group["weight_decay"])
        check_flag("Adam(maximize=...)", group["maximize"])
        check_flag("Adam(differentiable=...)", group["differentiable"])
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
                        _update(w, w.grad, self.state[w], group)
        return loss


def _update(w: Tensor, g: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> None:
    if g.layout != torch.strided:
        raise RuntimeError(
            f"Adam needs dense gradients, but got {g.layout} for a parameter of shape {tuple(w.shape)}; "
            f"use torch.optim.SparseAdam, or sparse=False in the embedding."
        )
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"] = torch.zeros_like(w, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(w, memory_format=torch.preserve_format)
    m, v = state["exp_avg"], state["exp_avg_sq"]
    beta1, beta2 = group["betas"]
    state["step"] += 1
    # a number compiles to a graph break, and inductor (torch 2.13) then gets addcdiv_ wrong; float32 is too short for beta2^t
    t: Any = state["step"].double() if torch.compiler.is_compiling() else state["step"].item()

    g = -g if group["maximize"] else g
    if group["weight_decay"] != 0:
        g = g.add(w, alpha=group["weight_decay"])
    if w.is_complex():  # real and imaginary parts are coordinates of their own
        w, g, m, v = (torch.view_as_real(x) for x in (w, g, m, v))

    m.lerp_(g, 1 - beta1)
    v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    if group["differentiable"]:
        m, v = m.clone(), v.clone()  # the next step changes the averages in place, which autograd must not see
    if w.dtype == torch.float16:
        m, v = m.float(), v.float()  # 1e-8 is 0 in float16, and 0/0 would be NaN
    denominator = (v.sqrt() / (1 - beta2**t) ** 0.5).add_(group["eps"])
    step_size = scalar(group["lr"], w.device) / (1 - beta1**t)
    if isinstance(step_size, Tensor):
        w.sub_(step_size * (m / denominator))
    elif w.dtype == torch.float16:
        w.add_(m / denominator, alpha=-step_size)
    else:
        w.addcdiv_(m, denominator, value=-step_size)
