"""The primitives as torch expressions that a compiler sees through: one row each, of tensors alone, none of which is written.

`TORCH_PRIMITIVES` is made for speed one call at a time: `out=`, Python numbers, in-place tricks. Inside a kernel all that counts is the
value: the sign that keeps NaN is two selections, `clip` is a maximum of a minimum. Values are those of `TORCH_PRIMITIVES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from search_space.draws import FIRST, MASK, SECOND
from search_space.primitives import LOG_FLOOR


def _sign(x: Tensor) -> Tensor:
    one = torch.ones_like(x)
    return torch.where(x > 0, one, torch.where(x < 0, -one, x))  # 0, -0 and NaN are their own signs


def _compared(relation: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    """1 where the relation holds, else 0, in the dtype of the arguments."""

    def compared(x: Tensor, y: Tensor) -> Tensor:
        return relation(x, y).to(x.dtype)

    return compared


def _log_abs(x: Tensor) -> Tensor:
    return torch.log(torch.clamp(torch.abs(x), min=LOG_FLOOR))


def _clip(x: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(x, c), -c)


def _clamp(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition != 0, x, y)


def _pow_abs(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.pow(torch.abs(x), y)


def _norm(x: Tensor) -> Tensor:
    return torch.sqrt(torch.sum(x * x, -1, keepdim=True))


def _mean(x: Tensor) -> Tensor:
    return torch.mean(x, -1, keepdim=True)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return torch.sum(x * y, -1, keepdim=True)


def _drop(x: Tensor, p: Tensor, uniform: Tensor) -> Tensor:
    return torch.where(uniform >= p, x, torch.zeros_like(x))


KERNEL_PRIMITIVES: dict[str, Callable[..., Tensor]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "neg": torch.neg,
    "**": torch.pow,
    "<": _compared(torch.lt),
    "<=": _compared(torch.le),
    ">": _compared(torch.gt),
    ">=": _compared(torch.ge),
    "==": _compared(torch.eq),
    "!=": _compared(torch.ne),
    "abs": torch.abs,
    "sign": _sign,
    "exp": torch.exp,
    "log": torch.log,
    "log_abs": _log_abs,
    "sqrt": torch.sqrt,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "min": torch.minimum,
    "max": torch.maximum,
    "mod": torch.remainder,
    "pow_abs": _pow_abs,
    "clip": _clip,
    "clamp": _clamp,
    "where": _where,
    "norm": _norm,
    "mean": _mean,
    "dot": _dot,
    "noise": torch.mul,
    "drop": _drop,
}
"""Every primitive of the language, by name: (tensors) -> a tensor. The exponents of `**` and `pow_abs` may be Python floats; `noise` and
`drop` take the drawn numbers as their last argument."""


def _mix(x: Any) -> Any:
    """Scramble 32-bit integers held in int64; (SECOND - 2^32) x is SECOND x modulo 2^32 and stays inside int64."""
    x = ((x ^ (x >> 16)) * FIRST) & MASK
    x = ((x ^ (x >> 15)) * (SECOND - MASK - 1)) & MASK
    return x ^ (x >> 16)


def drawn(function: str, element: Tensor, keys: Any) -> Tensor:
    """Return what `noise` or `drop` draws, float64, as `neuropt.compiling.draws` does.

    Args:
        function: `noise` or `drop`.
        element: int64, the index of each element within its flattened tensor.
        keys: two int64 tensors of no dimension for each uniform that is needed: two uniforms for `noise`, one for `drop`.
    """
    uniforms: list[Tensor] = [
        (_mix(_mix((element + key_0) & MASK) ^ key_1).to(torch.float64) + 0.5) * 2.0**-32
        for key_0, key_1 in zip(keys[::2], keys[1::2], strict=True)
    ]
    if function == "drop":
        return uniforms[0]
    a, b = uniforms
    return torch.sqrt(torch.log(a) * -2.0) * torch.cos(b * (2.0 * math.pi))
