"""Any rule as an ordinary torch optimizer.

    u, what is remembered = rule(g, w, t, T, lr, hyperparameters, what is remembered)        for each parameter
    w <- w - lr * u                                                                          in place

Three rules and what they keep: `g` keeps a step count, `ema(g, 0.9)` one more tensor a parameter, `b = 0.9 * prev(b, 1); u = b * g` one
more number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim.optimizer import ParamsT

from neuropt.compiling.due import HALF, Due, GroupStep, make_due, values_of
from neuropt.compiling.execution import execution_of
from neuropt.compiling.foreach import update_lists
from neuropt.compiling.forms import by_lists, check_forms, fused_step, kept_forms, moving_in
from neuropt.compiling.fused import Moving
from neuropt.compiling.loop import update_each
from neuropt.compiling.ranges import FINITE, range_of
from neuropt.compiling.shards import is_gathered
from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.closure_step import ClosureStep
from neuropt.optimizers.ranges import check_in
from search_space import Rule, parse_rule, zoo

OWN_KEYS = ("lr", "rule", "decay_steps", "seed", "maximize", "foreach", "fused")
"""What every parameter group holds beside the rule's hyperparameters."""
FOREIGN_KEYS = frozenset(
    (
        "params",
        "param_names",
        "name",
        "initial_lr",
        "max_lr",
        "min_lr",
        "base_momentum",
        "max_momentum",
        "swa_lr",
        "lr_scale",
    )
)
"""What torch's schedulers and training loops put into groups."""
RESERVED = FOREIGN_KEYS | set(OWN_KEYS) | {"capturable", "differentiable"}


class RuleOptimizer(ClosureStep):
    """Train with an update rule.

    w <- w - lr * u

    Args:
        params: parameters, named parameters or parameter groups; a group may override everything below but the rule.
        rule: a rule or its text.
        lr: learning rate, a number or a tensor of one element.
        decay_steps: T, the planned steps; needed by rules that read T.
        seed: of `noise` and `drop`, which are functions of (seed, parameter index over all groups, draw, t, element).
        maximize: step along -g.
        foreach: run each instruction of the rule over all tensors of a group at once, as torch's `foreach`: faster on a GPU than a loop,
            and takes memory of the size of the parameters.
        fused: run the rule as one compiled pass over the memory of each tensor. It is compiled at the first step, once for all sizes;
            where nothing can be compiled there is one warning, and steps are run as by default. A DTensor takes the loop.
        hyperparameters: values for the rule's own, which are the defaults.

    Everything lives in the parameter groups and is read at every step, so that schedulers may change it. The state of a parameter is its
    `step`, and what the rule remembers by name: tensors, or Python floats where a recurrence holds numbers only. Parameters in
    half precision are computed and remembered in float32. Complex parameters are pairs of real ones. Sharded ones (DTensor, as of FSDP2)
    step as shards, and under rules with reductions or draws gathered one after the other: the numbers are those of one process.

    `foreach` and `fused` say how a step runs, not what it computes, and are no part of what `load_state_dict` brings. If both are
    None, it is `foreach` where all parameters of a group are on a GPU and a loop otherwise, as in torch. The forms agree to the last
    bits: a compiled step rounds `lr * u` before it is subtracted, and sums in another order.

    A group's `momentum` is None unless one of torch's cyclic schedulers (OneCycleLR, CyclicLR) writes it; a number there wins over the
    rule's `beta1` or `beta`.

    Raises:
        RuleError: a text that is not a rule.
        TypeError: a hyperparameter that the rule does not have, in the call or in a group.
        ValueError: a value that is not finite, a negative lr, a rule that reads T without `decay_steps`, a hyperparameter of the rule
            whose name a parameter group needs for itself, a hyperparameter outside the range of its name (beta = 1).
        RuntimeError: a sparse gradient, at `step`.

    Example:
        >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
        >>> optimizer = RuleOptimizer([w], "beta = 0.9; m = ema(g, beta); u = exp(sign(g) * sign(m)) * g", lr=0.1)
        >>> optimizer.param_groups[0]["beta"]
        0.9
        >>> (w**2).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([ 0.4563, -0.9127])
    """

    def __init__(
        self,
        params: ParamsT,
        rule: Rule | str,
        lr: float | Tensor = 1e-3,
        *,
        decay_steps: int | None = None,
        seed: int = 0,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        **hyperparameters: float,
    ) -> None:
        rule = parse_rule(rule) if isinstance(rule, str) else rule
        own = dict(rule.hyperparameters)
        if taken := sorted(own.keys() & RESERVED):
            raise ValueError(f"the rule calls a hyperparameter {taken[0]!r}, which parameter groups hold; rename it.")
        _check_known(hyperparameters, own)
        defaults: dict[str, Any] = {
            "lr": lr,
            "rule": rule.text,
            "decay_steps": decay_steps,
            "seed": seed,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "momentum": None,
            **own,
            **hyperparameters,
        }
        super().__init__(params, defaults)

    @property
    def rule(self) -> Rule:
        """The rule, with its own hyperparameters."""
        return execution_of(self.defaults["rule"]).program.rule

    @property
    def pointwise(self) -> bool:
        """Whether the rule has no reductions over a tensor, so that its parameters may be cut into shards."""
        return execution_of(self.defaults["rule"]).program.pointwise

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with values of their own for lr, decay_steps, seed, maximize and hyperparameters where the group has them."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}.")
        unused = {"momentum"} if param_group.get("momentum") is None else set()  # None: nothing has cycled it yet
        given = {name: value for name, value in param_group.items() if name not in RESERVED | unused}
        _check_known(given, dict(self.rule.hyperparameters))
        self._check_values(self.defaults | param_group)
        super().add_param_group(param_group)

    def _check_values(self, group: Mapping[str, Any]) -> None:
        owner = type(self).__name__
        if group["rule"] != self.defaults["rule"]:
            raise ValueError(f"all groups have one rule, {self.defaults['rule']!r}, but got {group['rule']!r}.")
        check_number(f"{owner}(lr=...)", group["lr"])
        check_flag(f"{owner}(maximize=...)", group["maximize"])
        check_forms(owner, group)
        of_zoo = self.rule in zoo().values()
        for name, own in self.rule.hyperparameters:
            check_in(range_of(name, own, of_zoo=of_zoo) or FINITE, f"{owner}({name}=...)", group[name])
        if isinstance(group["seed"], bool) or not isinstance(group["seed"], int):
            raise TypeError(f"{owner}(seed=...) must be an integer, but got {group['seed']!r}.")
        if group["decay_steps"] is not None:
            check_number(f"{owner}(decay_steps=...)", group["decay_steps"], above_low=True)
        elif self.rule.reads("T"):
            raise ValueError(f"the rule reads T, the planned steps: pass {owner}(decay_steps=...).")

    def step_all(self) -> None:
        """Update every parameter that has a gradient once."""
        if torch.compiler.is_compiling():
            return self._step_untraced()
        first = 0
        with torch.no_grad():
            for group in self.param_groups:
                for moving in moving_in(self, group, first):
                    self._update(moving, group)
                first += len(group["params"])
        return None

    # A compiled step runs as it is: its loop over Python numbers is nothing to trace. torch marks its own optimizers so too; the public
    # torch.compiler.disable would import a second's worth of compiler with this module.
    @_disable_dynamo
    def _step_untraced(self) -> None:
        self.step_all()

    def _update(self, moving: list[Moving], group: dict[str, Any]) -> None:
        execution = execution_of(group["rule"])
        values = values_of(group, execution)
        step = GroupStep(
            group["rule"],
            execution,
            float(group["lr"]),
            lambda _: values,
            seed=group["seed"],
            maximize=group["maximize"],
        )

        def make(w: Tensor, index: int) -> Due:
            return make_due(w, index, self.state[w], execution)

        if group["fused"]:
            rest = fused_step(self, moving, step, make)
            if rest is not None:
                return update_each(rest, step)
        due = [make(w, index) for w, _, _, index in moving]
        by_list = by_lists(group) and not any(is_gathered(one.w, execution.program) for one in due)
        return update_lists(due, step) if by_list else update_each(due, step)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, to the last bit.

        Raises:
            ValueError: for the state of another rule.
        """
        for group in state_dict["param_groups"]:
            if group.get("rule") != self.defaults["rule"]:
                raise ValueError(
                    f"the state is of rule {group.get('rule')!r}, but this one is {self.defaults['rule']!r}."
                )
        with kept_forms(self):
            super().load_state_dict(state_dict)
        # torch has cast the state to the dtype of the parameters, but half precision is remembered in float32
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for p, number in zip(parameters, numbers, strict=True):
            for key, value in state_dict["state"].get(number, {}).items():
                if key == "step":
                    self.state[p][key] = value.to("cpu", torch.float32, copy=True)
                elif isinstance(value, Tensor) and p.dtype in HALF and value.dtype == torch.float32:
                    self.state[p][key] = value.to(p.device, copy=True)


def _check_known(given: Mapping[str, Any], own: Mapping[str, float]) -> None:
    if unknown := sorted(given.keys() - own.keys()):
        valid = ", ".join(own) if own else "none"
        raise TypeError(f"the rule has no hyperparameter {unknown[0]!r} (got {given[unknown[0]]!r}); it has: {valid}.")
