"""Any rule as an ordinary torch optimizer.

    u, what is remembered = rule(g, w, t, T, lr, hyperparameters, what is remembered)        for each parameter
    w <- w - lr * u                                                                          in place

Three rules and what they keep: `g` keeps a step count, `ema(g, 0.9)` one more tensor a parameter, `b = 0.9 * prev(b, 1); u = b * g` one
more number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._compile import _disable_dynamo
from torch.optim.optimizer import ParamsT

from neuropt.compiling.draws import drawn_like
from neuropt.compiling.execution import Execution, Value
from neuropt.compiling.program import compile_text
from neuropt.compiling.ranges import FINITE, range_of
from neuropt.optimizers.arguments import check_flag, check_number
from neuropt.optimizers.closure_step import ClosureStep
from neuropt.optimizers.ranges import check_in, check_zoo_values
from search_space import Rule, parse_rule, zoo

OWN_KEYS = ("lr", "rule", "decay_steps", "seed", "maximize")
"""What every parameter group holds beside the rule's hyperparameters."""
CYCLED = ("momentum", "beta1", "beta")
"""The first of these that is a hyperparameter of the rule is what torch's cyclic schedulers move as `momentum`."""
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
RESERVED = FOREIGN_KEYS | set(OWN_KEYS) | {"foreach", "fused", "capturable", "differentiable"}

HALF = (torch.float16, torch.bfloat16)

State = dict[str, Any]


@lru_cache(maxsize=256)
def _execution(text: str) -> Execution:
    """Compile a rule once for all optimizers that have it; an `Execution` holds no state."""
    return Execution(compile_text(text))


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
        hyperparameters: values for the rule's own, which are the defaults.

    Everything lives in the parameter groups and is read at every step, so that schedulers may change it. The state of a parameter is its
    `step`, and what the rule remembers by name: tensors, or Python floats where a recurrence holds numbers only. Parameters in
    half precision are computed and remembered in float32. Complex parameters are pairs of real ones.

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
            "momentum": None,
            **own,
            **hyperparameters,
        }
        super().__init__(params, defaults)

    @property
    def rule(self) -> Rule:
        """The rule, with its own hyperparameters."""
        return _execution(self.defaults["rule"]).program.rule

    @property
    def pointwise(self) -> bool:
        """Whether the rule has no reductions over a tensor, so that its parameters may be cut into shards."""
        return _execution(self.defaults["rule"]).program.pointwise

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with values of their own for lr, decay_steps, seed, maximize and hyperparameters where the group has them."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}.")
        unused = {"momentum"} if param_group.get("momentum") is None else set()  # None: nothing has cycled it yet
        _check_known(param_group.keys() - RESERVED - unused, dict(self.rule.hyperparameters))
        self._check_values(self.defaults | param_group)
        super().add_param_group(param_group)

    def _check_values(self, group: Mapping[str, Any]) -> None:
        owner = type(self).__name__
        if group["rule"] != self.defaults["rule"]:
            raise ValueError(f"all groups have one rule, {self.defaults['rule']!r}, but got {group['rule']!r}.")
        check_number(f"{owner}(lr=...)", group["lr"])
        check_flag(f"{owner}(maximize=...)", group["maximize"])
        for name, own in self.rule.hyperparameters:
            check_in(range_of(name, own) or FINITE, f"{owner}({name}=...)", group[name])
        if self.rule in zoo().values():
            check_zoo_values(owner, dict(self.rule.hyperparameters), group)
        if isinstance(group["seed"], bool) or not isinstance(group["seed"], int):
            raise TypeError(f"{owner}(seed=...) must be an integer, but got {group['seed']!r}.")
        if group["decay_steps"] is not None:
            check_number(f"{owner}(decay_steps=...)", group["decay_steps"], above_low=True)
        elif self.rule.reads("T"):
            raise ValueError(f"the rule reads T, the planned steps: pass {owner}(decay_steps=...).")

    # A compiled step runs as it is: its loop over Python numbers is nothing to trace. torch marks its own optimizers so too; the public
    # torch.compiler.disable would import a second's worth of compiler with this module.
    @_disable_dynamo
    def step_all(self) -> None:
        """Update every parameter that has a gradient once."""
        execution, index = _execution(self.defaults["rule"]), 0
        with torch.no_grad():
            for group in self.param_groups:
                numbers = _GroupNumbers(execution, group)
                for w in group["params"]:
                    if w.grad is not None:
                        self._step_one(w, index, execution, numbers, group)
                    index += 1

    def _step_one(
        self, p: Tensor, index: int, execution: Execution, numbers: _GroupNumbers, group: dict[str, Any]
    ) -> None:
        assert p.grad is not None
        if p.grad.layout != torch.strided:
            raise RuntimeError(f"RuleOptimizer takes dense gradients, but got {p.grad.layout}; call .to_dense() on it.")
        p_real, g = (torch.view_as_real(x.resolve_conj()) if x.is_complex() else x for x in (p, p.grad))
        w, g = (_computed(x, execution) for x in (p_real, g))
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            _remember(state, execution.start(w), p_real)
        t, remembered = int(state["step"].item()), _recall(state, execution)
        u, remembered = execution.step(
            -g if group["maximize"] else g,
            w,
            numbers.at(t, remembered),
            remembered,
            lambda function, draw: drawn_like(g, function, group["seed"], index, draw, t),
        )
        state["step"] += 1
        _remember(state, remembered, p_real)
        if numbers.lr != 0:  # with lr 0 a parameter stays as it is, whatever u is: distributed checkpoints rely on it
            p_real.add_(u.view_as(p_real), alpha=-numbers.lr)

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
        super().load_state_dict(state_dict)
        # torch has cast the state to the dtype of the parameters, but half precision is remembered in float32
        parameters = [p for group in self.param_groups for p in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for p, number in zip(parameters, numbers, strict=True):
            for key, value in state_dict["state"].get(number, {}).items():
                if isinstance(value, Tensor) and p.dtype in HALF and value.dtype == torch.float32:
                    self.state[p][key] = value.to(p.device, copy=True)


def _check_known(given: Any, own: Mapping[str, float]) -> None:
    if unknown := sorted(set(given) - own.keys()):
        valid = ", ".join(own) if own else "none"
        raise TypeError(f"the rule has no hyperparameter {unknown[0]!r}; it has: {valid}.")


class _GroupNumbers:
    """The numbers of one group at one step, computed once for all parameters that share t and what they remember."""

    def __init__(self, execution: Execution, group: Mapping[str, Any]) -> None:
        self.execution, self.lr = execution, float(group["lr"])
        self.given = {name: float(group[name]) for name, _ in execution.program.rule.hyperparameters}
        if group["momentum"] is not None and (cycled := next((n for n in CYCLED if n in self.given), None)):
            self.given[cycled] = float(group["momentum"])
        if group["decay_steps"] is not None:
            self.given["T"] = float(group["decay_steps"])
        self.known: dict[tuple[float, ...], list[Any]] = {}

    def at(self, t: int, remembered: Mapping[str, Value]) -> list[Any]:
        key = (t, *(x for x in remembered.values() if not isinstance(x, Tensor)))
        if key not in self.known:
            self.known[key] = self.execution.numbers(self.given | {"t": float(t), "lr": self.lr}, remembered)
        return self.known[key]


def _computed(x: Tensor, execution: Execution) -> Tensor:
    """Return a tensor as the rule computes with it: half precision as float32, and flat where the rule has reductions."""
    x = x.float() if x.dtype in HALF else x
    return x if execution.program.pointwise else x.reshape(-1)


def _key(name: str) -> str:
    """Return where the state keeps a remembered value: under its name, which must not be that of the step count."""
    return "step (remembered)" if name == "step" else name


def _remember(state: State, remembered: Mapping[str, Value], like: Tensor) -> None:
    for name, value in remembered.items():
        is_full = isinstance(value, Tensor) and value.numel() == like.numel()
        state[_key(name)] = value.view_as(like) if isinstance(value, Tensor) and is_full else value


def _recall(state: State, execution: Execution) -> dict[str, Value]:
    program = execution.program
    found = {r.name: state[_key(r.name)] for r in program.remembered}
    is_flat = not program.pointwise
    return {name: x.reshape(-1) if is_flat and isinstance(x, Tensor) else x for name, x in found.items()}
