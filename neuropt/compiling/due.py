"""What one parameter brings to a step, and the numbers that parameters share: the same for every way to run a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from neuropt.compiling.execution import Execution, Value
from neuropt.compiling.kernel import Kernel
from neuropt.compiling.shards import cut_state, is_gathered, whole

CYCLED = ("momentum", "beta1", "beta")
"""The first of these that is a hyperparameter of the rule is what torch's cyclic schedulers move as `momentum`."""

HALF = (torch.float16, torch.bfloat16)

State = dict[str, Any]


@dataclass(slots=True)
class Due:
    """A parameter with a gradient.

    Args:
        w: the parameter, as real numbers: a complex one is pairs of them.
        g: its gradient, likewise.
        state: `step`, and what the rule remembers.
        index: the parameter's, over all groups.
        t: steps that it has done.
    """

    w: Tensor
    g: Tensor
    state: State
    index: int
    t: int


def make_due(p: Tensor, index: int, state: State, execution: Execution) -> Due:
    """Return what a parameter brings; its state is made if this is its first gradient."""
    g = p.grad
    assert g is not None
    if g.layout != torch.strided:
        raise RuntimeError(f"RuleOptimizer takes dense gradients, but got {g.layout}; call .to_dense() on it.")
    w: Tensor = p
    if p.is_complex():
        w, g = (torch.view_as_real(x.resolve_conj()) for x in (p, g))
    if not state:
        state.update(_start(w, execution))
    return Due(w, g, state, index, int(state["step"].item()))


def _start(w: Tensor, execution: Execution) -> State:
    state: State = {"step": torch.zeros((), dtype=torch.float32)}
    gathered = is_gathered(w, execution.program)
    x = whole(w) if gathered else w
    remember(state, execution.start(computed(x, execution)), x)
    return cut_state(state, w) if gathered else state


def computed(x: Tensor, execution: Execution) -> Tensor:
    """Return a tensor as the rule computes with it: half precision as float32, and flat where the rule has reductions."""
    x = x.float() if x.dtype in HALF else x
    return x if execution.program.pointwise else x.reshape(-1)


def key(name: str) -> str:
    """Return where the state keeps a remembered value: under its name, which must not be that of the step count."""
    return "step (remembered)" if name == "step" else name


def remember(state: State, remembered: Mapping[str, Value], like: Tensor) -> None:
    """Put what the next step reads into a state, tensors in the shape of the parameter."""
    for name, value in remembered.items():
        is_full = isinstance(value, Tensor) and value.numel() == like.numel()
        state[key(name)] = value.view_as(like) if isinstance(value, Tensor) and is_full else value


def recall(state: State, execution: Execution) -> dict[str, Value]:
    """Return what `remember` put there, flat where the rule has reductions."""
    program = execution.program
    found = {r.name: state[key(r.name)] for r in program.remembered}
    is_flat = not program.pointwise
    return {name: x.reshape(-1) if is_flat and isinstance(x, Tensor) else x for name, x in found.items()}


class Counted(Protocol):
    """What numbers depend on: a `Due`, or a parameter prepared for direct calls."""

    state: State
    t: int


class GroupStep:
    """What the parameters of one group share at one step; numbers are computed once for all that share t and the numbers they remember.

    Args:
        text: of the rule.
        execution: of the rule.
        lr: a number.
        given: t -> the values of the hyperparameters, and of T if the rule reads it; t is the steps done before this one.
        seed: of draws.
        maximize: whether to step along -g.
        single: whether what is remembered of half-precision parameters is float32; if not, it has the parameter's type.
    """

    def __init__(
        self,
        text: str,
        execution: Execution,
        lr: float,
        given: Callable[[int], Mapping[str, float]],
        *,
        seed: int = 0,
        maximize: bool = False,
        single: bool = True,
    ) -> None:
        self.text, self.execution, self.lr, self.given = text, execution, lr, given
        self.seed, self.maximize, self.single = seed, maximize, single
        self.known: dict[tuple[float, ...], list[Any]] = {}
        self.tensors: dict[tuple[Kernel, tuple[float, ...]], Tensor] = {}
        self.remembered = [(r.name, r.value) for r in execution.program.remembered if r.kind == "number"]

    def shared(self, one: Counted) -> tuple[float, ...]:
        """Return what the numbers of a parameter depend on beside the group: t and the numbers that it remembers."""
        return (one.t, *(one.state[key(name)] for name, _ in self.remembered))

    def at(self, shared: tuple[float, ...]) -> list[Any]:
        """Return the values of kind `number`, from what `shared` returned."""
        if shared not in self.known:
            t, *remembered = shared
            given = {**self.given(int(t)), "t": float(t), "lr": self.lr}
            self.known[shared] = self.execution.numbers(
                given, {name: x for (name, _), x in zip(self.remembered, remembered, strict=True)}
            )
        return self.known[shared]

    def numbers(self, kernel: Kernel, shared: tuple[float, ...]) -> Tensor:
        """Return what a kernel reads of the numbers, as its argument."""
        found = self.tensors.get((kernel, shared))
        if found is None:
            found = self.tensors[kernel, shared] = kernel.numbers(self.lr, self.at(shared))
        return found

    def remember_numbers(self, one: Counted) -> None:
        """Put the numbers that the next step reads into a state."""
        values = self.at(self.shared(one))
        one.state.update({key(name): values[value] for name, value in self.remembered})


def values_of(group: Mapping[str, Any], execution: Execution) -> dict[str, float]:
    """Return the hyperparameters of a group of `RuleOptimizer` as they are now, and T."""
    given = {name: float(group[name]) for name, _ in execution.program.rule.hyperparameters}
    if group["momentum"] is not None and (cycled := next((n for n in CYCLED if n in given), None)):
        given[cycled] = float(group["momentum"])
    if group["decay_steps"] is not None:
        given["T"] = float(group["decay_steps"])
    return given
