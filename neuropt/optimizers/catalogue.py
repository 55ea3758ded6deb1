"""The named optimizers: torch's own, the hand-coded ones, and PowerSign and AddSign with their decays.

A row is a class and the hyperparameters that make the name: `momentum` is torch's SGD at momentum 0.9, which a caller may change;
`nesterov` is SGD with nesterov=True, and `powersign-ld` is PowerSign with sign_decay="linear", which a caller may not change, since the
name says it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, cast

from torch import Tensor, optim
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from neuropt.optimizers.adabound import AdaBound, AMSBound
from neuropt.optimizers.adagraft import AdaGraft
from neuropt.optimizers.adam_eps_hat import AdamEpsHat
from neuropt.optimizers.adamwr import AdamWR
from neuropt.optimizers.addsign import AddSign
from neuropt.optimizers.lion import Lion
from neuropt.optimizers.lstm import DEFAULT_WEIGHTS, LSTMOptimizer
from neuropt.optimizers.powersign import PowerSign
from neuropt.optimizers.ranges import check_torch_values, is_torchs
from neuropt.optimizers.rmsprop_eps_inside import RMSpropEpsInside
from neuropt.optimizers.sgdw import SGDW
from neuropt.optimizers.sgdwr import SGDWR
from neuropt.optimizers.yogi import Yogi

EXECUTION = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Arguments that change how a step runs, not what it computes: accepted, not listed."""

BOUNDS = "f (1 - 1/(gamma t + 1)), f (1 + 1/(gamma t))"
"""Of AdaBound, f = final_lr / base_lr."""

RESTARTS = "eta = (1 + cos(pi T_cur/T_i))/2, d = weight_decay / (sqrt(T_i) base_lr)"
"""Of AdamWR and SGDWR, eta_min left out."""

BELLO = "Bello et al., Neural Optimizer Search, ICML 2017"


@dataclass(frozen=True, slots=True)
class NamedOptimizer:
    """One row of the catalogue.

    Args:
        name: as typed at the command line.
        factory: the class; called with parameters and hyperparameters.
        formula: one line, w <- w - lr u left out.
        source: who published it.
        preset: hyperparameters of the row that a caller may change.
        fixed: hyperparameters that the name stands for; others are refused.
        needs: hyperparameters without a default.
        pointwise: whether each element's update depends on that element alone.
        variants: names of other conventions for the same thing.
        lr_free: whether u is the same for every lr that a training starts with, as for a rule; AdaBound's bounds are measured against it.
        searched: names of the tasks that it was trained to train, so that results on them are no evidence for others.
    """

    name: str
    factory: Callable[..., Optimizer]
    formula: str
    source: str
    preset: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    pointwise: bool = True
    variants: tuple[str, ...] = ()
    lr_free: bool = True
    searched: frozenset[str] = frozenset()

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Hyperparameters and their values, read from the class's signature; those in `needs` are None."""
        signature = {name: value for name, value in _keywords(self.factory).items() if name not in EXECUTION}
        return MappingProxyType(signature | dict(self.preset) | dict(self.fixed))

    def arguments(self, lr: float, steps: int) -> dict[str, Any]:
        """Return what to create it with for a training of so many steps: lr, the planned steps, and periods that fill them.

        Example:
            >>> named_optimizers()["adamwr"].arguments(0.1, steps=700)  # periods of 100, 200 and 400 steps
            {'lr': 0.1, 'T_0': 100, 'T_mult': 2}
        """
        planned = {"decay_steps": {"decay_steps": steps}, "T_0": {"T_0": math.ceil(steps / 7), "T_mult": 2}}
        return {"lr": lr, **{key: value for name in self.needs for key, value in planned[name].items()}}

    def create(self, params: ParamsT, **hyper: Any) -> Optimizer:
        """Make the optimizer; its hyperparameters are checked, those of a class of torch here.

        Raises:
            TypeError: for a hyperparameter that it does not have.
            ValueError: for a bad value, or one that contradicts the name.
        """
        unknown = [name for name in hyper if name not in _keywords(self.factory)]
        if unknown:
            see = f" See also {' and '.join(self.variants)}." if self.variants else ""
            named = ", ".join(f"{name!r} (got {hyper[name]!r})" for name in unknown)
            raise TypeError(f"{self.name} has no hyperparameter {named}; it has {', '.join(self.defaults)}.{see}")
        for name, value in self.fixed.items():
            if name in hyper and hyper[name] != value:
                raise ValueError(f"{self.name}({name}=...) is always {value!r}, but got {hyper[name]!r}; leave it out.")
        missing = [name for name in self.needs if hyper.get(name) is None]
        if missing:
            raise ValueError(
                f"{self.name} needs {' and '.join(f'{name}=...' for name in missing)}, which has no default."
            )
        hyper = {**self.preset, **hyper, **self.fixed}
        if is_torchs(self.factory):
            if not isinstance(params, Tensor):
                params = cast(ParamsT, list(params))  # which may be a generator
            groups = [group for group in params if isinstance(group, dict)]
            for given in (hyper, *groups):
                check_torch_values(self.name, {**_keywords(self.factory), **hyper, **given})
        return self.factory(params, **hyper)


def _keywords(factory: Callable[..., Optimizer]) -> dict[str, Any]:
    parameters = list(inspect.signature(factory).parameters.values())[1:]  # the first is the list of weights
    return {p.name: None if p.default is inspect.Parameter.empty else p.default for p in parameters}


TORCH_ROWS = (
    NamedOptimizer("sgd", optim.SGD, "u = g", "Robbins and Monro 1951"),
    NamedOptimizer("momentum", optim.SGD, "b = momentum b + g; u = b", "Polyak 1964", {"momentum": 0.9}),
    NamedOptimizer(
        "nesterov",
        optim.SGD,
        "b = momentum b + g; u = g + momentum b",
        "Nesterov 1983",
        {"momentum": 0.9},
        {"nesterov": True},
    ),
    NamedOptimizer("adagrad", optim.Adagrad, "s = s + g^2; u = g / (sqrt(s) + eps)", "Duchi et al. 2011"),
    NamedOptimizer(
        "rmsprop",
        optim.RMSprop,
        "v = ema(g^2, alpha); u = g / (sqrt(v) + eps)",
        "Tieleman and Hinton 2012",
        variants=("rmsprop-eps-inside",),
    ),
    NamedOptimizer(
        "adadelta",
        optim.Adadelta,
        "v = ema(g^2, rho); u = sqrt((d + eps)/(v + eps)) g; d = ema(u^2, rho)",
        "Zeiler 2012",
    ),
    NamedOptimizer(
        "adam", optim.Adam, "u = mhat / (sqrt(vhat) + eps)", "Kingma and Ba 2015", variants=("adam-eps-hat",)
    ),
    NamedOptimizer(
        "adamw", optim.AdamW, "u = mhat / (sqrt(vhat) + eps) + weight_decay w", "Loshchilov and Hutter 2019"
    ),
    NamedOptimizer(
        "amsgrad",
        optim.Adam,
        "s = max(s, v); u = mhat / (sqrt(s / (1 - beta2^t)) + eps)",
        "Reddi et al. 2018",
        fixed={"amsgrad": True},
    ),
    NamedOptimizer("nadam", optim.NAdam, "u = (mu mhat_next + (1 - mu) ghat) / (sqrt(vhat) + eps)", "Dozat 2016"),
    NamedOptimizer(
        "radam", optim.RAdam, "u = r mhat / (sqrt(vhat) + eps), or mhat while r is undefined", "Liu et al. 2020"
    ),
    NamedOptimizer("adamax", optim.Adamax, "s = max(beta2 s, |g| + eps); u = mhat / s", "Kingma and Ba 2015"),
)

OUR_ROWS = (
    NamedOptimizer(
        "adam-eps-hat",
        AdamEpsHat,
        "u = sqrt(1 - beta2^t)/(1 - beta1^t) m / (sqrt(v) + eps)",
        "Kingma and Ba 2015, as TensorFlow and Keras",
        variants=("adam",),
    ),
    NamedOptimizer(
        "rmsprop-eps-inside",
        RMSpropEpsInside,
        "v = ema(g^2, alpha); b = momentum b + g / sqrt(v + eps); u = b",
        "Tieleman and Hinton 2012, as TensorFlow, Keras and optax",
        variants=("rmsprop",),
    ),
    NamedOptimizer("sgdw", SGDW, "b = momentum b + g; u = b + weight_decay w", "Loshchilov and Hutter 2019"),
    NamedOptimizer(
        "sgdwr",
        SGDWR,
        f"b = momentum b + g; u = eta (b + d w), {RESTARTS}",
        "Loshchilov and Hutter 2019",
        needs=("T_0",),
        lr_free=False,
    ),
    NamedOptimizer(
        "adamwr",
        AdamWR,
        f"u = eta (mhat / (sqrt(vhat) + eps) + d w), {RESTARTS}",
        "Loshchilov and Hutter 2019",
        needs=("T_0",),
        lr_free=False,
    ),
    NamedOptimizer(
        "yogi",
        Yogi,
        "v = v - (1 - beta2) sign(v - g^2) g^2; u = mhat / (sqrt(vhat) + eps)",
        "Zaheer et al. 2018",
    ),
    NamedOptimizer(
        "adabound",
        AdaBound,
        f"u = clamp(sqrt(1 - beta2^t)/(1 - beta1^t) / (sqrt(v) + eps), {BOUNDS}) m",
        "Luo et al. 2019",
        lr_free=False,
    ),
    NamedOptimizer(
        "amsbound",
        AMSBound,
        f"s = max(s, v); u = clamp(sqrt(1 - beta2^t)/(1 - beta1^t) / (sqrt(s) + eps), {BOUNDS}) m",
        "Luo et al. 2019",
        lr_free=False,
    ),
    NamedOptimizer(
        "lion",
        Lion,
        "u = sign(beta1 m + (1 - beta1) g) + weight_decay w; m = ema(g, beta2)",
        "Chen et al. 2023",
    ),
    NamedOptimizer(
        "lstm",
        LSTMOptimizer,
        "y, h, c = LSTM((log|g|/p, sign g) if |g| >= e^-p else (-1, e^p g), h, c); u = weight_decay w - y",
        "Andrychowicz et al. 2016",
        searched=frozenset({DEFAULT_WEIGHTS}),
    ),
    NamedOptimizer(
        "adagraft",
        AdaGraft,
        "u = -norm(s_M) / (norm(s_D) + eps) s_D, s_X the step that X would take, of one tensor or all",
        "Agarwal et al. 2020",
        pointwise=False,
    ),
)

SIGN_ROWS = (
    NamedOptimizer("powersign", PowerSign, "m = ema(g, beta); u = base^(f(t) sign(g) sign(m)) g, f = 1", BELLO),
    NamedOptimizer("addsign", AddSign, "m = ema(g, beta); u = (alpha + f(t) sign(g) sign(m)) g, f = 1", BELLO),
)

DECAYS = {
    "ld": ("linear", "f = 1 - t/T"),
    "cd": ("cosine", "f = (1 + cos(2 pi n t/T))/2, n = 1/2"),
    "rd": ("restart", "f = (1 + cos(pi ((t n) mod T)/T))/2, n = 1"),
}


def _decayed(row: NamedOptimizer, suffix: str) -> NamedOptimizer:
    decay, formula = DECAYS[suffix]
    formula = row.formula.replace("f = 1", f"{formula}, T = decay_steps")
    return NamedOptimizer(
        f"{row.name}-{suffix}", row.factory, formula, row.source, fixed={"sign_decay": decay}, needs=("decay_steps",)
    )


@cache
def named_optimizers() -> Mapping[str, NamedOptimizer]:
    """Return all rows by name, for listings and look-up.

    Example:
        >>> named_optimizers()["momentum"].defaults["momentum"]
        0.9
    """
    decayed = (_decayed(row, suffix) for row in SIGN_ROWS for suffix in DECAYS)
    return MappingProxyType({row.name: row for row in (*TORCH_ROWS, *OUR_ROWS, *SIGN_ROWS, *decayed)})


def create_named(name: str, params: ParamsT, **hyper: Any) -> Optimizer:
    """Make an optimizer by name.

    Args:
        name: one of `named_optimizers()`.
        params: parameters, named parameters or parameter groups.
        hyper: hyperparameters, under the names of `named_optimizers()[name].defaults`.

    Raises:
        ValueError: for an unknown name, listing the valid ones, or a bad value.
        TypeError: for a hyperparameter that it does not have.

    Example:
        >>> import torch
        >>> create_named("powersign-ld", [torch.zeros(2, requires_grad=True)], decay_steps=100).param_groups[0]["sign_decay"]
        'linear'
    """
    rows = named_optimizers()
    if name not in rows:
        raise ValueError(f"unknown optimizer {name!r}; choose one of {', '.join(rows)}.")
    return rows[name].create(params, **hyper)
