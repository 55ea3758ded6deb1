"""The primitives in torch: one row each, equal to `search_space.primitives` to the last few bits, NaN and infinity included.

`+`, `sign` and `norm` show what a row takes care of: torch's own function where it means the same; a form of ours where it does not
(`torch.sign(nan)` is 0); a reduction over the last axis that keeps it with length 1, so that tensors are flattened first or are rows.

Arguments are tensors or Python floats, at least one of them a tensor. Floats must be finite in the tensor's dtype or infinite
(`fitting`), since torch refuses a number that its dtype cannot hold.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_space.primitives import LOG_FLOOR

Operand = Tensor | float


@dataclass(frozen=True, slots=True)
class TorchPrimitive:
    """One primitive in torch.

    Args:
        function: arguments -> a new tensor; `noise` and `drop` take the drawn numbers as their last argument, as in numpy.
        into: the same with `out=`, a tensor of the result's shape and dtype that is overwritten and returned; None for reductions.
        reusable: positions of arguments whose memory may be `out`, where that value is at no other position.
    """

    function: Callable[..., Tensor]
    into: Callable[..., Tensor] | None = None
    reusable: tuple[int, ...] = ()


def fitting(number: float, dtype: torch.dtype) -> float:
    """Return `number`, or infinity of its sign where `dtype` cannot hold it.

    >>> fitting(1e300, torch.float32), fitting(1e300, torch.float64)
    (inf, 1e+300)
    """
    return math.copysign(math.inf, number) if abs(number) > torch.finfo(dtype).max else number


def _tensor(x: Operand, like: Tensor) -> Tensor:
    """Make a 0-d CPU tensor of a float; torch mixes it with tensors on any device and it widens none of them."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=like.dtype)


def _placed(x: Operand, like: Tensor) -> Tensor:
    """Make a 0-d tensor of a float where `like` is: `torch.where` would copy it there, and wait for the device."""
    return x if isinstance(x, Tensor) else torch.full((), x, dtype=like.dtype, device=like.device)


def _first_tensor(*operands: Operand) -> Tensor:
    return next(x for x in operands if isinstance(x, Tensor))


def _divide(x: Operand, y: Operand) -> Tensor:
    # float / tensor would be float * reciprocal(tensor), which overflows for a subnormal tensor
    return torch.div(x if isinstance(x, Tensor) else _tensor(x, _first_tensor(y)), y)


def _power(x: Operand, y: Operand) -> Tensor:
    # torch computes x ** -0.5 as rsqrt, which is -inf at -0.0 and nan at -inf; with a tensor exponent it is the real power
    if not isinstance(x, Tensor):
        return torch.pow(x, _first_tensor(y))
    if isinstance(y, float) and y == -0.5:
        return torch.pow(x, x.new_full((1,), y)).reshape(x.shape)
    return torch.pow(x, y)


def _power_into(x: Operand, y: Operand, out: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        return torch.pow(x, _first_tensor(y), out=out)
    if isinstance(y, float) and y == -0.5:
        return out.copy_(_power(x, y))
    return torch.pow(x, y, out=out)


def _sign_into(x: Tensor, out: Tensor) -> Tensor:
    # sign(nan) is nan, and torch.sign(nan) is 0. Twice the largest power of two lifts even the least subnormal above 1.
    largest = 2.0 ** (math.frexp(torch.finfo(x.dtype).max)[1] - 1)
    return torch.mul(x, largest, out=out).mul_(largest).clamp_(-1.0, 1.0)


def _minimum(x: Operand, y: Operand) -> Tensor:
    if not isinstance(x, Tensor):
        return torch.clamp(_first_tensor(y), max=x)
    return torch.minimum(x, y) if isinstance(y, Tensor) else torch.clamp(x, max=y)


def _maximum(x: Operand, y: Operand) -> Tensor:
    if not isinstance(x, Tensor):
        return torch.clamp(_first_tensor(y), min=x)
    return torch.maximum(x, y) if isinstance(y, Tensor) else torch.clamp(x, min=y)


def _minimum_into(x: Operand, y: Operand, out: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        x, y = _first_tensor(y), x
    return torch.minimum(x, y, out=out) if isinstance(y, Tensor) else torch.clamp(x, max=y, out=out)


def _maximum_into(x: Operand, y: Operand, out: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        x, y = _first_tensor(y), x
    return torch.maximum(x, y, out=out) if isinstance(y, Tensor) else torch.clamp(x, min=y, out=out)


def _log_abs_into(x: Tensor, out: Tensor) -> Tensor:
    return torch.abs(x, out=out).clamp_(min=LOG_FLOOR).log_()


def _remainder(x: Operand, y: Operand) -> Tensor:
    # the sign of the divisor, as numpy's mod; where x / y overflows, torch's is nan and numpy's is exact
    return torch.remainder(x, y) if isinstance(x, Tensor) else torch.remainder(x, _first_tensor(y))


def _pow_abs(x: Operand, y: Operand) -> Tensor:
    return _power(torch.abs(x) if isinstance(x, Tensor) else abs(x), y)


def _pow_abs_into(x: Operand, y: Operand, out: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        return _power_into(abs(x), y, out)
    return _power_into(torch.abs(x, out=out if x.shape == out.shape else None), y, out)


def _clip_into(x: Operand, c: Operand, out: Tensor) -> Tensor:
    # max(min(x, c), -c): torch's clamp takes the smaller bound where they cross, which c < 0 makes them
    if isinstance(x, Tensor) and isinstance(c, float) and c >= 0:
        return torch.clamp(x, -c, c, out=out)
    low = -c
    return _maximum_into(_minimum_into(x, c, out), low, out)


def _clamp_into(x: Operand, low: Operand, high: Operand, out: Tensor) -> Tensor:
    if isinstance(x, Tensor) and isinstance(low, float) and isinstance(high, float):
        return torch.clamp(x, low, high, out=out)
    if not isinstance(x, Tensor) and not isinstance(low, Tensor):
        return _minimum_into(max(x, low) if x == x and low == low else math.nan, high, out)
    return _minimum_into(_maximum(x, low), high, out)  # not over out: x and low may be smaller than it


def _where_into(condition: Operand, x: Operand, y: Operand, out: Tensor) -> Tensor:
    chosen = condition != 0.0
    kept = chosen if isinstance(chosen, Tensor) else torch.full((), chosen, device=out.device)
    return torch.where(kept, _placed(x, out), _placed(y, out), out=out)


def _norm(x: Tensor) -> Tensor:
    return torch.sum(x * x, -1, keepdim=True).sqrt_()


def _mean(x: Tensor) -> Tensor:
    return torch.mean(x, -1, keepdim=True)


def _dot(x: Operand, y: Operand) -> Tensor:
    product = x * y
    assert isinstance(product, Tensor)
    return torch.sum(product, -1, keepdim=True)


def _drop_into(x: Operand, p: Operand, uniform: Tensor, out: Tensor) -> Tensor:
    return torch.where(uniform >= p, _placed(x, out), _placed(0.0, out), out=out)


def _new(into: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make the out-of-place form of an `into`, in the shape and dtype that its arguments broadcast to."""

    def function(*arguments: Operand) -> Tensor:
        tensors = [x for x in arguments if isinstance(x, Tensor)]
        shape = np.broadcast_shapes(*(x.shape for x in tensors))
        like = next((x for x in tensors if x.shape == shape), None)
        return into(*arguments, out=tensors[0].new_empty(shape) if like is None else torch.empty_like(like))

    return function


def _into(function: Callable[..., Any]) -> Callable[..., Tensor]:
    """Let a torch function of two arguments with `out=` take floats on its left."""

    def into(x: Operand, y: Operand, out: Tensor) -> Tensor:
        result = function(_tensor(x, out), y, out=out)
        assert isinstance(result, Tensor)
        return result

    return into


def _compared(relation: Callable[..., Any]) -> TorchPrimitive:
    """1 where the relation holds, else 0, in the dtype of the arguments."""
    into = _into(relation)
    return TorchPrimitive(_new(into), into, (0, 1))


def _row(function: Callable[..., Tensor]) -> TorchPrimitive:
    """A torch function of one tensor that has an `out=` and may overwrite its argument."""
    return TorchPrimitive(function, function, (0,))


TORCH_PRIMITIVES: dict[str, TorchPrimitive] = {
    "+": TorchPrimitive(operator.add, _into(torch.add), (0, 1)),
    "-": TorchPrimitive(operator.sub, _into(torch.sub), (0, 1)),
    "*": TorchPrimitive(operator.mul, _into(torch.mul), (0, 1)),
    "/": TorchPrimitive(_divide, _into(torch.div), (0, 1)),
    "neg": _row(torch.neg),
    "**": TorchPrimitive(_power, _power_into, (0, 1)),
    "<": _compared(torch.lt),
    "<=": _compared(torch.le),
    ">": _compared(torch.gt),
    ">=": _compared(torch.ge),
    "==": _compared(torch.eq),
    "!=": _compared(torch.ne),
    "abs": _row(torch.abs),
    "sign": TorchPrimitive(_new(_sign_into), _sign_into, (0,)),
    "exp": _row(torch.exp),
    "log": _row(torch.log),
    "log_abs": TorchPrimitive(_new(_log_abs_into), _log_abs_into, (0,)),
    "sqrt": _row(torch.sqrt),
    "cos": _row(torch.cos),
    "tanh": _row(torch.tanh),
    "min": TorchPrimitive(_minimum, _minimum_into, (0, 1)),
    "max": TorchPrimitive(_maximum, _maximum_into, (0, 1)),
    "mod": TorchPrimitive(_remainder, _into(torch.remainder), (0, 1)),
    "pow_abs": TorchPrimitive(_pow_abs, _pow_abs_into, (0,)),
    "clip": TorchPrimitive(_new(_clip_into), _clip_into, (0,)),
    "clamp": TorchPrimitive(_new(_clamp_into), _clamp_into, (0,)),
    "where": TorchPrimitive(_new(_where_into), _where_into, (0, 1, 2)),
    "norm": TorchPrimitive(_norm),
    "mean": TorchPrimitive(_mean),
    "dot": TorchPrimitive(_dot),
    "noise": TorchPrimitive(operator.mul, _into(torch.mul), (0, 1)),
    "drop": TorchPrimitive(_new(_drop_into), _drop_into, (0, 1, 2)),
}
"""Every primitive of the language in torch, by name.

>>> TORCH_PRIMITIVES["pow_abs"].function(torch.tensor([-2.0]), 3.0)
tensor([8.])
"""
