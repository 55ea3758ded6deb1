"""What optimizers written by hand share: hyperparameters that live in groups, their checks, and a loop over parameters.

    for each group, for each parameter w with a gradient g:  step_one(w, g, what is remembered of w, the group's hyperparameters)

Two kinds: `DenseOptimizer` (Lion, Yogi, ...) hands its formula real tensors and a step count; `SignMomentum` (PowerSign, AddSign)
also takes sparse gradients.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.closure_step import ClosureStep

State = dict[str, Tensor]


class LoopOptimizer(ClosureStep):
    """Check each group as it comes, and update one parameter after the other by `step_one`.

    Args:
        params: parameters, named parameters or parameter groups.
        own: hyperparameters that only this class has.
        lr, weight_decay, maximize, differentiable: those that all have.
    """

    def __init__(
        self,
        params: ParamsT,
        own: dict[str, Any],
        lr: float | Tensor,
        weight_decay: float,
        maximize: bool,
        differentiable: bool,
    ) -> None:
        shared = {"weight_decay": weight_decay, "maximize": maximize, "differentiable": differentiable}
        super().__init__(params, {"lr": lr, **own, **shared})

    @classmethod
    @abstractmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse bad values of the hyperparameters that only this class has."""

    @classmethod
    def kept(cls, group: dict[str, Any]) -> dict[str, Any]:
        """Return what a new group keeps beside its hyperparameters."""
        return {}

    @abstractmethod
    def step_one(self, w: Tensor, g: Tensor, state: State, group: dict[str, Any]) -> None:
        """Update w, and what is remembered of it, in place."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with hyperparameters of their own where the group gives them."""
        group, owner = self.defaults | param_group, type(self).__name__
        check_number(f"{owner}(lr=...)", group["lr"])
        check_number(f"{owner}(weight_decay=...)", group["weight_decay"])
        check_flag(f"{owner}(maximize=...)", group["maximize"])
        check_flag(f"{owner}(differentiable=...)", group["differentiable"])
        self.check_own(group)
        param_group.update(self.kept(group))
        super().add_param_group(param_group)

    def step_all(self) -> None:
        """Update every parameter that has a gradient once."""
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            for group in self.param_groups:
                self.step_group(group)

    def step_group(self, group: dict[str, Any]) -> None:
        """Update every parameter of a group that has a gradient once."""
        for w in group["params"]:
            if w.grad is not None:
                self.step_one(w, w.grad, self.state[w], group)
