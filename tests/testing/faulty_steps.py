"""Optimizers with one fault each: in their hyperparameters, or in what a step does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.testing.sound import Sound

SOUND = ("lr", "momentum", "weight_decay", "foreach", "maximize", "differentiable")


class LrReadOnce(Sound):
    """lr of the constructor, whatever the groups say."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "lr": self.defaults["lr"]})


class MomentumReadOnce(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "momentum": self.defaults["momentum"]})


class MomentumFrozenAtFirstStep(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        for w in group["params"]:
            self.state[w].setdefault("momentum", group["momentum"])
        super().step_group({**group, "momentum": self.state[group["params"][0]]["momentum"]})

    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        state = self.state[w]
        state.setdefault("step", torch.zeros((), dtype=torch.float32))
        state.setdefault("exp_avg", torch.zeros_like(w, requires_grad=False))
        return super().count(w, group)


class MomentumOnSelf(Sound):
    """Not in the groups at all, and lost by deepcopy and pickle, which keep state and groups only."""

    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), but got {momentum}")
        self.momentum = momentum
        super().__init__(params, lr, momentum)
        del self.defaults["momentum"]
        for group in self.param_groups:
            del group["momentum"]

    def check(self, group: dict[str, Any]) -> None:
        super().check({"momentum": self.momentum, **group})

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "momentum": self.momentum})


class AnyValue(Sound):
    def check(self, group: dict[str, Any]) -> None:
        pass


class AnyKeyword(Sound):
    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9, **rest: Any) -> None:
        super().__init__(params, lr, momentum, **_known(rest))


class NoParameters(Sound):
    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9) -> None:
        super().__init__(list(params) or [torch.zeros(1)], lr, momentum)


class Ascent(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        return -super().gradient(w, group)


class StepsOfTheGroup(Sound):
    """One step count for all parameters of a group."""

    def step_group(self, group: dict[str, Any]) -> None:
        group["t"] = group.get("t", 0) + any(w.grad is not None for w in group["params"])
        super().step_group(group)

    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        super().count(w, group)
        return group["t"]


class StepAsInt(Sound):
    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        self.state[w].setdefault("exp_avg", torch.zeros_like(w, requires_grad=False))
        self.state[w]["step"] = self.state[w].get("step", 0) + 1
        return self.state[w]["step"]


class StepOfAllParameters(Sound):
    """Each parameter's count is a tensor, but counts the optimizer's steps; only the record is wrong, not the update."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group(group)
        most = max((float(s["step"]) for s in self.state.values() if "step" in s), default=0.0)
        for state in self.state.values():
            state["own"] = state.get("own", torch.zeros(())) + 1
            state["step"] = torch.tensor(most)

    def count(self, w: Tensor, group: dict[str, Any]) -> Any:
        super().count(w, group)
        return float(self.state[w].get("own", 0.0)) + 1


class FirstGroupOnly(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        if group is self.param_groups[0]:
            super().step_group(group)


class DecayWithoutGradient(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group(group)
        with torch.no_grad():
            for w in group["params"]:
                if w.grad is None:
                    w.mul_(1 - 0.01 * float(group["lr"]))


class DecayInTheGradient(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        if group["weight_decay"] and w.grad is not None:
            w.grad.add_(w.detach(), alpha=group["weight_decay"])
        return super().gradient(w, {**group, "weight_decay": 0.0})


class NegatedGradient(Sound):
    def gradient(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        if group["maximize"] and w.grad is not None:
            w.grad.neg_()
        return super().gradient(w, {**group, "maximize": False})


class ClearedGradient(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group(group)
        for w in group["params"]:
            w.grad = None


class ClosureWithoutGradients(Sound):
    def evaluate(self, closure: Callable[[], float]) -> float | None:
        return closure()


class ClosureWithoutLoss(Sound):
    def evaluate(self, closure: Callable[[], float]) -> float | None:
        super().evaluate(closure)
        return None


class ClosureTooLate(Sound):
    """Steps along the gradients of the last closure."""

    def evaluate(self, closure: Callable[[], float]) -> float | None:
        self.step_groups()
        return super().evaluate(closure)


class WithoutHooks(Sound):
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # no overloads
        loss = self.evaluate(closure) if closure is not None else None
        self.step_groups()
        return loss

    step.hooked = True  # type: ignore[attr-defined]  # what keeps torch from running its hooks


class WithoutNames(Sound):
    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9) -> None:
        super().__init__([p[1] if isinstance(p, tuple) else p for p in params], lr, momentum)


def swallowing(params: Any, **hyper: Any) -> Optimizer:
    """Make a sound optimizer, whatever the keywords are."""
    return Sound(params, **_known(hyper))


def _known(hyper: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyper.items() if name in SOUND}


class FirstGroupsMomentum(Sound):
    """One momentum for all groups, that of the first."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "momentum": self.param_groups[0]["momentum"]})


class FirstGroupsMaximize(Sound):
    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "maximize": self.param_groups[0]["maximize"]})


class WithoutDecay(Sound):
    """weight_decay is taken and never used."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "weight_decay": 0.0})


class GrowingDecay(Sound):
    """The weights grow where they should shrink."""

    def step_group(self, group: dict[str, Any]) -> None:
        super().step_group({**group, "weight_decay": -group["weight_decay"]})


class GroupsNotLoaded(Sound):
    """load_state_dict keeps its own hyperparameters."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = [{name: value for name, value in group.items() if name != "params"} for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, hyper in zip(self.param_groups, own, strict=True):
            group.update(hyper)
