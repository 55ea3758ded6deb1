"""A small optimizer that passes every check; the faulty ones differ from it in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Sound(Optimizer):
    """m = momentum m + (1 - momentum) (g + weight_decay w);  w = w - lr m / (1 - momentum^t)."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.check(self.defaults | param_group)
        super().add_param_group(param_group)

    def check(self, group: dict[str, Any]) -> None:
        for name, end in (("lr", torch.inf), ("momentum", 1.0), ("weight_decay", torch.inf)):
            if not 0 <= group[name] < end:
                raise ValueError(f"{name} must be in [0, {end}), but got {group[name]!r}")

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # no overloads
        loss = self.evaluate(closure) if closure is not None else None
        self.step_groups()
        return loss

    def evaluate(self, closure: Callable[[], float]) -> float | None:
        with torch.enable_grad():
            return closure()

    def step_groups(self) -> None:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            for group in self.param_groups:
                self.step_group(group)

    def step_group(self, group: dict[str, Any]) -> None:
        moving = [w for w in group["params"] if w.grad is not None]
        if group["foreach"] and moving:
            self.update_together(moving, group)
        else:
            for w in moving:
                self.update(w, group)

    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        g = w.grad
        assert g is not None
        if g.layout != torch.strided:
            raise RuntimeError("Sound takes dense gradients")
        g = -g if group["maximize"] else g
        return g + group["weight_decay"] * w if group["weight_decay"] else g

    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        state = self.state[w]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(w, requires_grad=False)
        state["step"] += 1
        return state["step"].double() if torch.compiler.is_compiling() else state["step"].item()

    def update(self, w: Tensor, group: dict[str, Any]) -> None:
        g, beta, t = self.gradient(w, group), group["momentum"], self.count(w, group)
        m = self.state[w]["exp_avg"]
        m.lerp_(g, 1 - beta)
        w.sub_(group["lr"] * (m / (1 - beta**t)))

    def update_together(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        gradients, beta = [self.gradient(w, group) for w in weights], group["momentum"]
        corrections = [1 - beta ** self.count(w, group) for w in weights]
        averages = [self.state[w]["exp_avg"] for w in weights]
        for w, g, m, correction in zip(weights, gradients, averages, corrections, strict=True):
            w.sub_(group["lr"] * m.lerp_(g, 1 - beta) / correction)
