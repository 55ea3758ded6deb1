"""What hand-coded optimizers of dense gradients share: everything but the formula.

    state = start(w, group)                      at a parameter's first gradient, such as m = 0
    update(w, g, state, t, group)                at each gradient, in place; t counts the parameter's own steps from 1

Lion keeps one average, Yogi two, AMSBound three; types, layouts, counting and the rest of what torch asks is the same for all.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from neuropt.optimizers.arguments import scalar
from neuropt.optimizers.loop_optimizer import LoopOptimizer, State


class DenseOptimizer(LoopOptimizer):
    """Update each parameter that has a dense gradient by `update`; see `Lion`, `Yogi`, `AdaBound` and `SGDW`.

    `update` sees real tensors (complex ones are pairs of real ones) and a gradient to descend, also where the group maximizes.
    """

    @staticmethod
    @abstractmethod
    def start(w: Tensor, group: dict[str, Any]) -> State:
        """Return what is remembered before the first step, for a real parameter."""

    @classmethod
    @abstractmethod
    def update(cls, w: Tensor, g: Tensor, state: State, t: Any, group: dict[str, Any]) -> None:
        """Update w and what is remembered in place."""

    def step_one(self, w: Tensor, g: Tensor, state: State, group: dict[str, Any]) -> None:
        """Count the step, and update real views of what there is."""
        if g.layout != torch.strided:
            raise RuntimeError(
                f"{type(self).__name__} needs dense gradients, but got {g.layout} for a parameter of shape "
                f"{tuple(w.shape)}; call .to_dense() on it, or use sparse=False in the embedding."
            )
        self.begin(w, state, group)
        state["step"] += 1
        # float32 is too short for beta^t; a number would break the graph of a compiled step
        t: Any = state["step"].double() if torch.compiler.is_compiling() else state["step"].item()
        g = -g if group["maximize"] else g
        self.update(real(w), real(g), {name: real(x) for name, x in state.items() if name != "step"}, t, group)

    def begin(self, w: Tensor, state: State, group: dict[str, Any]) -> None:
        """Fill the state of a parameter that has none."""
        if not state:
            started = self.start(real(w), group)
            state["step"] = torch.zeros((), dtype=torch.float32)
            state |= {name: torch.view_as_complex(x) if w.is_complex() else x for name, x in started.items()}


def like(w: Tensor, value: float = 0.0) -> Tensor:
    """Return a tensor for the state of w, filled with one number."""
    return torch.full_like(w, value, memory_format=torch.preserve_format, requires_grad=False)


def with_decay(g: Tensor, w: Tensor, group: dict[str, Any]) -> Tensor:
    """Return g + weight_decay w: the coupled decay."""
    return g.add(w, alpha=group["weight_decay"]) if group["weight_decay"] != 0 else g


def settled(group: dict[str, Any], *averages: Tensor) -> tuple[Tensor, ...]:
    """Return averages that later steps do not change where autograd sees the step, in float32 where they are float16.

    An eps of 1e-8 is 0 in float16, and 0/0 would be NaN.
    """
    if group["differentiable"]:
        averages = tuple(x.clone() for x in averages)
    return tuple(x.float() if x.dtype == torch.float16 else x for x in averages)


def descend(w: Tensor, u: Tensor, lr: float | Tensor) -> None:
    """w <- w - lr u, in place; nothing happens at lr 0 where u is finite."""
    w.sub_(u * scalar(lr, w.device))


def real(x: Tensor) -> Tensor:
    """Return a complex tensor as pairs of real numbers, and a real one as it is."""
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
