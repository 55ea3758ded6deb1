"""Optimizers with one fault each that torch's own have too, so that only the strict suite notices it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.testing.faulty_tensors import ZeroOverZeroInFloat16
from tests.testing.sound import Sound

SOUND = ("lr", "momentum", "weight_decay", "foreach", "maximize", "differentiable")


class GroupsUnchecked(Sound):
    """Only the constructor looks at values, as in torch."""

    def __init__(
        self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        super().check({"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        super().__init__(params, lr, momentum, weight_decay)

    def check(self, group: dict[str, Any]) -> None:
        pass


class NanTaken(Sound):
    def check(self, group: dict[str, Any]) -> None:
        super().check({name: 0.5 if isinstance(x, float) and x != x else x for name, x in group.items()})


class OneTaken(Sound):
    def check(self, group: dict[str, Any]) -> None:
        super().check({**group, "momentum": 0.5 if group["momentum"] == 1 else group["momentum"]})


class Nameless(Sound):
    def check(self, group: dict[str, Any]) -> None:
        try:
            super().check(group)
        except ValueError as error:
            raise ValueError("bad value") from error


class StateInFloat32(Sound):
    """Remembers half precision in float32, which torch casts back when it loads a state_dict."""

    def update(self, w: Tensor, group: dict[str, Any]) -> None:
        g, beta, t = self.gradient(w, group), group["momentum"], self.count(w, group)
        state = self.state[w]
        if w.dtype in (torch.float16, torch.bfloat16):
            g, state["exp_avg"] = g.float(), state["exp_avg"].float()
        state["exp_avg"].lerp_(g, 1 - beta)
        w.sub_(group["lr"] * (state["exp_avg"] / (1 - beta**t)))


class GradientHalvedByForeach(Sound):
    def update_together(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        super().update_together(weights, group)
        for w in weights:
            w.grad = 0.5 * w.grad if w.grad is not None else None


class FirstStepDetached(Sound):
    """Its first gradient is out of autograd's sight, as in torch's momentum."""

    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = super().gradient(w, group)
        return g if self.state[w] else g.detach()


class EpsTooSmall(ZeroOverZeroInFloat16):
    """Declares by its eps that float16 is beyond it."""

    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9, eps: float = 1e-8) -> None:
        if not 0 <= eps < torch.inf:
            raise ValueError(f"eps must be in [0, inf), but got {eps!r}")
        super().__init__(params, lr, momentum)
        self.defaults["eps"] = eps
        for group in self.param_groups:
            group.setdefault("eps", eps)

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if not 0 <= group.get("eps", 0.0) < torch.inf:
            raise ValueError(f"eps must be in [0, inf), but got {group['eps']!r}")
