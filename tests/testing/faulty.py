"""Optimizers with one fault each, and the checks that must notice it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tests.testing.sound import Sound

LOST = ("deepcopy", "pickling")
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


def swallowing(params: Any, **hyper: Any) -> Optimizer:
    """Make a sound optimizer, whatever the keywords are."""
    return Sound(params, **_known(hyper))


def _known(hyper: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in hyper.items() if name in SOUND}


FAULTS: dict[Callable[..., Optimizer], tuple[str, ...]] = {
    # a fault, and the checks that fail for it, all others passing
    MomentumOnSelf: ("hyperparameters_in_groups", *LOST),
    LrReadOnce: ("hyperparameters_read_at_every_step", "zero_lr_and_gradients", "float16_zero_gradients"),
    MomentumReadOnce: ("hyperparameters_read_at_every_step", "momentum_cycling"),
    MomentumFrozenAtFirstStep: ("hyperparameters_read_at_every_step",),
    AnyValue: ("bad_values_refused",),
    AnyKeyword: ("unknown_keyword_refused",),
    swallowing: ("unknown_keyword_refused",),
    NoParameters: ("empty_parameters_refused",),
    Ascent: ("loss_goes_down",),
    StepsOfTheGroup: ("late_first_gradient",),
    StepAsInt: ("step_count",),
    StepOfAllParameters: ("step_count",),
    FirstGroupOnly: ("added_group",),
    DecayWithoutGradient: ("late_first_gradient", "added_group", "parameters_without_gradients"),
    DecayInTheGradient: ("gradients_untouched", "maximize"),
    NegatedGradient: ("gradients_untouched",),
    ClearedGradient: ("gradients_untouched",),
    ClosureWithoutGradients: ("closure",),
    ClosureWithoutLoss: ("closure",),
    ClosureTooLate: ("closure",),
    WithoutHooks: ("step_hooks",),
    WithoutNames: ("named_parameters",),
    StateNotSaved: ("state_dict_round_trip",),
    StateOfObjects: ("state_dict_round_trip",),
    LostByDeepcopy: ("deepcopy",),
    ParametersSharedByDeepcopy: ("deepcopy",),
    NotPickled: ("pickling",),
    AveragesOnSelf: ("state_dict_round_trip", *LOST),
    NoBfloat16: ("dtypes",),
    GradientInFloat32: ("double_precision", "differentiable"),
    WeightsInFloat32: (
        "hyperparameters_read_at_every_step",
        "double_precision",
        "sparse_gradients",
        "complex_parameters",
        "tensor_lr",
        "foreach",
    ),
    NoScalars: ("odd_shapes", "foreach"),
    MemoryOrder: ("non_contiguous",),
    SparseUnnoticed: ("sparse_gradients",),
    SparseIgnored: ("sparse_gradients",),
    RealPart: ("complex_parameters",),
    ZeroOverZero: ("zero_lr_and_gradients", "float16_zero_gradients"),
    ZeroOverZeroInFloat16: ("float16_zero_gradients",),
    MovesItsLr: ("schedulers",),
    HalfScaled: ("grad_scaler",),
    NoTensorLr: ("tensor_lr",),
    TensorLrTruncated: ("tensor_lr",),
    ForeachAtHalfTheRate: ("foreach",),
    MaximizeIgnored: ("maximize",),
    DecayMaximized: ("maximize",),
    Detached: ("differentiable",),
    OtherWhenCompiled: ("compiled_step",),
}


class GroupsUnchecked(Sound):
    """Only the constructor looks at values, as in torch."""

    def __init__(self, params: Any, lr: float | Tensor = 0.01, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
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
        torch._foreach_mul_([w.grad for w in weights if w.grad is not None], 0.5)


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


STRICT_FAULTS: dict[Callable[..., Optimizer], tuple[str, ...]] = {
    # a fault that torch's own optimizers have too, and the checks that fail for it where they are strict
    GroupsUnchecked: ("bad_values_refused",),
    NanTaken: ("bad_values_refused",),
    OneTaken: ("bad_values_refused",),
    Nameless: ("bad_values_refused",),
    StateInFloat32: ("state_dict_round_trip",),
    GradientHalvedByForeach: ("gradients_untouched",),
    FirstStepDetached: ("differentiable",),
    EpsTooSmall: ("float16_zero_gradients",),
}
