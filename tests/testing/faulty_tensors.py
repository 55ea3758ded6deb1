"""Optimizers with one fault each: in what survives, in the tensors they take, or in their options."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import torch
from torch import Tensor

from tests.testing.sound import Sound

SOUND = ("lr", "momentum", "weight_decay", "foreach", "maximize", "differentiable")


class StateNotSaved(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "state": {}}


class StateOfObjects(Sound):
    """Its state holds what weights_only refuses."""

    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        t = super().count(w, group)
        self.state[w]["exact"] = Decimal(1)
        return t


class LostByDeepcopy(Sound):
    def __deepcopy__(self, memo: dict[int, Any]) -> LostByDeepcopy:
        weights = [w.detach().clone().requires_grad_() for w in self.param_groups[0]["params"]]
        return LostByDeepcopy(weights, self.param_groups[0]["lr"])


class ParametersSharedByDeepcopy(Sound):
    def __deepcopy__(self, memo: dict[int, Any]) -> ParametersSharedByDeepcopy:
        copied = ParametersSharedByDeepcopy(self.param_groups[0]["params"], self.param_groups[0]["lr"])
        copied.load_state_dict(self.state_dict())
        return copied


class NotPickled(Sound):
    """Keeps a function that has no name."""

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "decay": lambda t: 0.9**t}


class AveragesOnSelf(Sound):
    """State beside `state`: not in the state_dict, and lost by deepcopy and pickle."""

    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9) -> None:
        super().__init__(params, lr, momentum)
        self.averages: dict[Tensor, Tensor] = {}

    def update(self, w: Tensor, group: dict[str, Any]) -> None:
        g, beta, t = self.gradient(w, group), group["momentum"], self.count(w, group)
        m = self.averages.setdefault(w, torch.zeros_like(w, requires_grad=False))
        m.lerp_(g, 1 - beta)
        w.sub_(group["lr"] * (m / (1 - beta**t)))


class NoBfloat16(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        if w.dtype == torch.bfloat16:
            g.numpy()
        return g


class GradientInFloat32(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        return g if g.is_complex() else g.float().to(g.dtype)


class WeightsInFloat32(Sound):
    """Float64 parameters, rounded to float32 before each step."""

    def update(self, w: Tensor, group: dict[str, Any]) -> None:
        if w.dtype == torch.float64 and w.is_leaf:
            w.copy_(w.float())
        super().update(w, group)


class NoScalars(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        return super().gradient(w, group) * (len(w) / len(w))


class MemoryOrder(Sound):
    """Treats memory as if every tensor were contiguous."""

    def update(self, w: Tensor, group: dict[str, Any]) -> None:
        g = self.gradient(w, group)
        t, m = self.count(w, group), self.state[w]["exp_avg"]
        m.lerp_(g, 1 - group["momentum"])
        u = group["lr"] * (m / (1 - group["momentum"] ** t))
        if group["differentiable"]:
            w.sub_(u)
        else:
            w.as_strided((w.numel(),), (1,)).sub_(u.reshape(-1))


class SparseUnnoticed(Sound):
    """Leaves it to a kernel to fail on a sparse gradient."""

    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        assert w.grad is not None
        g = -w.grad if group["maximize"] else w.grad
        return g + group["weight_decay"] * w if group["weight_decay"] else g


class SparseIgnored(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        dense = [w for w in group["params"] if w.grad is None or w.grad.layout == torch.strided]
        super().step_group({**group, "params": dense})


class RealPart(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        return torch.complex(g.real, torch.zeros_like(g.real)) if g.is_complex() else g


class ZeroOverZero(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        return g * (g.detach() / g.detach())


class ZeroOverZeroInFloat16(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        size = g.detach().abs() + 1e-8  # 0 in float16
        return g * (size / size)


class MovesItsLr(Sound):
    """A decay of its own, written into the group's lr, which schedulers own."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group(group)
        if any(w.grad is not None for w in group["params"]) and "initial_lr" in group:
            group["lr"] = group["lr"] * 0.999


class HalfScaled(Sound):
    """Says that it unscales gradients itself, and does not."""

    _step_supports_amp_scaling = True


class NoTensorLr(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        if isinstance(group["lr"], Tensor):
            raise TypeError("lr must be a float")
        super().step_group(group)


class TensorLrTruncated(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        lr = group["lr"]
        super().step_group({**group, "lr": int(lr) if isinstance(lr, Tensor) else lr})


class ForeachAtHalfTheRate(Sound):
    def update_together(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        super().update_together(weights, {**group, "lr": group["lr"] * 0.5})


class MaximizeIgnored(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        return super().gradient(w, {**group, "maximize": False})


class DecayMaximized(Sound):
    """Under maximize, the decay grows the weights too."""

    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, {**group, "maximize": False})
        return -g if group["maximize"] else g


class Detached(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        return super().gradient(w, group).detach()


class OtherWhenCompiled(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        return 2 * g if torch.compiler.is_compiling() else g
