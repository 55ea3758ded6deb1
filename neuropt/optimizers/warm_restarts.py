"""What AdamWR and SGDWR share: a cosine that restarts, and a weight decay that is normalised by the length of the period.

    eta_t = eta_min + (1 - eta_min) (1 + cos(pi T_cur/T_i)) / 2         T_cur of a period's T_i steps are done
    lambda = lambda_norm sqrt(b/(B T_i[epochs]))                        b examples a batch, B in the training set

At a restart T_cur is 0 again, and T_i is multiplied by T_mult.
An epoch has B/b steps, so T_i[steps] = T_i[epochs] B/b, and b/(B T_i[epochs]) = 1/T_i[steps]:

    lambda = lambda_norm / sqrt(T_i)                                    T_i in steps, and neither b nor B is left

With T_0 = 100 and T_mult = 2 the periods have 100, 200, 400, ... steps; with T_mult = 1 all have 100.

Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, and "SGDR", ICLR 2017.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from neuropt.optimizers.arguments import check_integer, check_number, scalar
from neuropt.optimizers.base_lr import base_lr_of
from neuropt.optimizers.dense_optimizer import descend
from neuropt.optimizers.pointwise_optimizer import PointwiseOptimizer


class WarmRestarts(PointwiseOptimizer):
    """An optimizer with T_0, T_mult, eta_min and base_lr in its groups; see `AdamWR` and `SGDWR`."""

    @classmethod
    def check_own(cls, group: dict[str, Any]) -> None:
        """Refuse a T_0 or T_mult that is no whole number from 1 on, and an eta_min outside [0, 1)."""
        check_integer(f"{cls.__name__}(T_0=...)", group["T_0"], low=1)
        check_integer(f"{cls.__name__}(T_mult=...)", group["T_mult"], low=1)
        check_number(f"{cls.__name__}(eta_min=...)", group["eta_min"], high=1.0)

    @classmethod
    def kept(cls, group: dict[str, Any]) -> dict[str, Any]:
        """The lr that the group starts with."""
        return {"base_lr": base_lr_of(cls.__name__, group)}


def descend_restarted(w: Tensor, u: Tensor, t: Any, group: dict[str, Any]) -> None:
    """w <- w - eta_t (lr u + lr/base_lr lambda w), in place, at step t counted from 1."""
    eta, decay = restarted(t, group)
    descend(w, u + w * (decay / group["base_lr"]), scalar(group["lr"], w.device) * eta)


def period_at(t: Any, T_0: int, T_mult: int) -> tuple[Any, Any]:
    """Return T_cur and T_i after t steps; t is a number, or a float64 tensor where a step is compiled.

    Example:
        >>> [period_at(t, T_0=2, T_mult=2) for t in (0.0, 1.0, 2.0, 5.0, 6.0)]
        [(0.0, 2), (1.0, 2), (0.0, 4), (3.0, 4), (0.0, 8)]
    """
    if T_mult == 1:
        return t % T_0, T_0
    # period i begins at T_0 (T_mult^i - 1)/(T_mult - 1); 1e-9 is more than the logarithm's rounding, and less than what one step of the
    # 2^24 that float32 counts moves it by
    ops: Any = torch if isinstance(t, Tensor) else math
    i = ops.floor(ops.log(1 + t * ((T_mult - 1) / T_0)) / math.log(T_mult) + 1e-9)
    T_i = T_0 * T_mult**i
    return t - (T_i - T_0) / (T_mult - 1), T_i


def restarted(t: Any, group: dict[str, Any]) -> tuple[Any, Any]:
    """Return eta and lambda of step t, counted from 1.

    Example:
        >>> restarted(51.0, {"T_0": 100, "T_mult": 1, "eta_min": 0.0, "weight_decay": 0.05})
        (0.5, 0.005)
    """
    T_cur, T_i = period_at(t - 1, group["T_0"], group["T_mult"])
    cos = (torch if isinstance(T_cur, Tensor) else math).cos
    eta = group["eta_min"] + (1 - group["eta_min"]) * (1 + cos(math.pi * T_cur / T_i)) / 2
    return eta, group["weight_decay"] / T_i**0.5


def restart_numbers(t: float, group: dict[str, Any]) -> dict[str, float]:
    """Return eta, and the decay of u = eta (... + decay w), of step t counted from 1."""
    eta, decay = restarted(t, group)
    return {"eta": eta, "decay": decay / group["base_lr"]}
