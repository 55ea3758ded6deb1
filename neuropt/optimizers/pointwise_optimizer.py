"""What hand-coded optimizers that are rules share: three ways to run a step, as torch's own optimizers have.

    a loop        `update` for one parameter after the other
    foreach       `update` for lists of tensors: the same formula, see `TensorList`
    fused         `rule`, compiled as `RuleOptimizer` compiles it: one pass over memory for each parameter

Lion's `rule` is two lines, `exp_avg = beta2 * prev(exp_avg) + (1 - beta2) * g` and `u = ...`. What it remembers has the names and types of
the state that `update` keeps, so that a training goes on in another form.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim.optimizer import ParamsT

from neuropt.compiling.direct import count
from neuropt.compiling.due import Due, GroupStep
from neuropt.compiling.execution import execution_of
from neuropt.compiling.forms import FORMS, by_lists, check_forms, fused_step, kept_forms, moving_in
from neuropt.compiling.fused import Moving
from neuropt.optimizers.dense_optimizer import DenseOptimizer, real
from neuropt.optimizers.loop_optimizer import State
from neuropt.optimizers.tensor_list import TensorList


class PointwiseOptimizer(DenseOptimizer):
    """Update each element from that element's own history; see `Lion`, `Yogi`, `AdaBound`, `SGDW` and `PowerSign`.

    Args:
        params, own, lr, weight_decay, maximize, differentiable: as in `LoopOptimizer`.
        foreach: run a step over lists of tensors; None is torch's default, where all parameters of a group are on a GPU.
        fused: run it as compiled code; where nothing can be compiled there is one warning, and steps are run as by default.
    """

    def __init__(
        self,
        params: ParamsT,
        own: dict[str, Any],
        lr: float | Tensor,
        weight_decay: float,
        maximize: bool,
        differentiable: bool,
        foreach: bool | None,
        fused: bool | None,
    ) -> None:
        super().__init__(
            params, {**own, "foreach": foreach, "fused": fused}, lr, weight_decay, maximize, differentiable
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Fill in what groups pickled by an older version lack."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name in FORMS:
                group.setdefault(name, None)

    @classmethod
    @abstractmethod
    def rule(cls, group: dict[str, Any]) -> str:
        """Return the equations of a step, of g, w, the names in `numbers`, and what is remembered by its names in the state."""

    @classmethod
    @abstractmethod
    def numbers(cls, t: float, group: dict[str, Any]) -> dict[str, float]:
        """Return what the equations read beside tensors; t counts the parameter's own steps from 1."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with hyperparameters of their own where the group gives them."""
        group = self.defaults | param_group
        check_forms(type(self).__name__, group)
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, in any form; how a step runs stays as it is."""
        with kept_forms(self):
            super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"] = state["step"].cpu()  # torch moves it where a saved group was fused

    def step_group(self, group: dict[str, Any]) -> None:
        """Update every parameter of a group that has a gradient once, in the form of the group."""
        lists = by_lists(group) and not group["differentiable"]
        if not (group["fused"] or lists):
            return super().step_group(group)
        if torch.compiler.is_compiling():
            return self._step_untraced(group)
        for moving in moving_in(self, group, 0):
            dense = [one for one in moving if one[1].layout == torch.strided]
            for w, g, state, _ in moving:
                if g.layout != torch.strided:
                    self.step_one(w, g, state, group)
            if dense and not (group["fused"] and self._step_fused(dense, group)):
                due = [self._due(w, index, group) for w, _, _, index in dense]
                (self._step_lists if lists else self._step_each)(due, group)
        return None

    @_disable_dynamo
    def _step_untraced(self, group: dict[str, Any]) -> None:
        self.step_group(group)

    def _step_fused(self, moving: list[Moving], group: dict[str, Any]) -> bool:
        """Update parameters by compiled kernels, and return whether anything can be compiled."""
        # numbers are hyperparameters of the rule, and their values here stand for none
        text = "".join(f"{name} = 1\n" for name in self.numbers(1.0, group)) + self.rule(group)
        step = GroupStep(
            text,
            execution_of(text),
            float(group["lr"]),
            lambda t: {name: float(x) for name, x in self.numbers(t + 1.0, group).items()},
            maximize=group["maximize"],
            single=False,
        )
        rest = fused_step(self, moving, step, lambda w, index: self._due(w, index, group))
        if rest is not None:
            self._step_each(rest, group)
        return rest is not None

    def _due(self, w: Tensor, index: int, group: dict[str, Any]) -> Due:
        """Return what a parameter with a dense gradient brings to a step, as real tensors."""
        state, g = self.state[w], w.grad
        assert g is not None
        self.begin(w, state, group)
        t = int(state["step"].item())
        if not w.is_complex():
            return Due(w, g, state, index, t)
        for name, x in state.items():
            if name != "step" and x.dtype != w.dtype:
                state[name] = x.to(w.dtype)
        return Due(real(w), real(g), {name: real(x) for name, x in state.items()}, index, t)

    def _step_each(self, due: list[Due], group: dict[str, Any]) -> None:
        for one in due:
            one.state["step"] += 1
            self.update(one.w, -one.g if group["maximize"] else one.g, _remembered(one), one.t + 1.0, group)

    def _step_lists(self, due: list[Due], group: dict[str, Any]) -> None:
        alike: dict[Any, list[Due]] = {}
        for one in due:
            alike.setdefault((one.w.dtype, one.w.device, one.t, tuple(one.state)), []).append(one)
        for some in alike.values():
            count([one.state["step"] for one in some])
            # `update` is written for one tensor, and a list answers to the same names
            w, g = (TensorList(x) for x in ([one.w for one in some], [one.g for one in some]))
            state = {name: TensorList([one.state[name] for one in some]) for name in _remembered(some[0])}
            update: Any = self.update
            update(w, -g if group["maximize"] else g, state, some[0].t + 1.0, group)


def _remembered(one: Due) -> State:
    return {name: x for name, x in one.state.items() if name != "step"}


def decayed(group: dict[str, Any]) -> str:
    """Return g with the coupled decay, for `rule`."""
    return "(g + weight_decay * w)" if group["weight_decay"] != 0 else "g"
