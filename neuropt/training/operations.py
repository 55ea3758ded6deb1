"""Calls that a step of many rules makes, prepared once: each writes one node of the merged graph into the rows of one run.

A call costs about 1 us whatever it computes, and 1.7 us more where torch has to wrap a Python float; rows of small networks take no longer
than that themselves. So numbers are tensors without dimensions wherever torch takes them, which changes no bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES, fitting
from neuropt.training.merging import Table
from neuropt.training.population_draws import Draws
from search_space.primitives import COMMUTATIVE

Operation = Callable[[int], object]
"""One prepared call; it is given t."""

BINARY: dict[str, Callable[..., Any]] = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "mod": torch.remainder,
    "<": torch.lt,
    "<=": torch.le,
    ">": torch.gt,
    ">=": torch.ge,
    "==": torch.eq,
    "!=": torch.ne,
}
"""Primitives that one torch function of two tensors is."""


class StepNumber:
    """A number that all elements of a row share, at every step.

    Args:
        table: (steps, 1), or (steps, rates) with one for each row of its rule.
        like: a tensor of the rows' dtype and device.
    """

    def __init__(self, table: Table, like: Tensor) -> None:
        self.table, self.like = table, like
        self.constant = fitting(float(table[0, 0]), like.dtype) if bool((table == table[0, 0]).all()) else None

    def floats(self) -> Callable[[int], Tensor | float]:
        """Return how to read it at step t: a float, or a column with one for each row."""
        constant = self.constant
        if constant is not None:
            return lambda t: constant
        if self.table.shape[1] == 1:
            return _floats(self.table.tobytes(), self.like.dtype).__getitem__
        return self._columns().__getitem__

    def tensors(self) -> Sequence[Tensor]:
        """Return it at every step, as tensors: without dimensions and on the CPU, or a column."""
        return _scalars(self.table.tobytes(), self.like.dtype) if self.table.shape[1] == 1 else self._columns()

    def fixed(self) -> Tensor | Sequence[Tensor]:
        """Return the tensor of a constant, else those of all steps."""
        return self.tensors() if self.constant is None else torch.tensor(self.constant, dtype=self.like.dtype)

    def _columns(self) -> Sequence[Tensor]:
        return torch.tensor(self.table).to(self.like).unsqueeze(-1).unbind()  # steps x (rates, 1)


@lru_cache(maxsize=512)  # every population has the same few: 1 - beta ** (t + 1), decays
def _scalars(table: bytes, dtype: torch.dtype) -> Sequence[Tensor]:
    return torch.tensor(np.frombuffer(table)).to(dtype).unbind()


@lru_cache(maxsize=512)
def _floats(table: bytes, dtype: torch.dtype) -> list[float]:
    return [fitting(x, dtype) for x in np.frombuffer(table).tolist()]


Operand = Tensor | StepNumber


def calling(function: str, operands: Sequence[Operand], out: Tensor) -> Operation:
    """Prepare a primitive that is computed element by element."""
    if function in COMMUTATIVE and isinstance(operands[0], StepNumber):
        operands = operands[::-1]  # clamp takes a float on the right
    if function in BINARY:
        return _binary(BINARY[function], operands, out)
    match function, operands:
        case "**", (StepNumber(), _):
            return _binary(torch.pow, operands, out)
        case "**", (Tensor() as x, StepNumber(constant=2.0)):
            return lambda t: torch.mul(x, x, out=out)  # to the bit
        case "sign", (Tensor() as x,):
            return _signing(x, out)
        case _:
            return _any(function, operands, out)


def _binary(function: Callable[..., Any], operands: Sequence[Operand], out: Tensor) -> Operation:
    x, y = (_fixed(operand) for operand in operands)
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return lambda t: function(x, y, out=out)
    if isinstance(x, Tensor):
        return lambda t: function(x, y[t], out=out)
    return lambda t: function(x[t], y, out=out)


def _fixed(operand: Operand) -> Tensor | Sequence[Tensor]:
    return operand if isinstance(operand, Tensor) else operand.fixed()


def _signing(x: Tensor, out: Tensor) -> Operation:
    """sign(nan) is nan, and torch.sign(nan) is 0. The largest power of two lifts normal numbers above 1, its square all others."""
    largest = torch.tensor(2.0 ** (math.frexp(torch.finfo(x.dtype).max)[1] - 1), dtype=x.dtype)
    if _flushed(x):
        return lambda t: torch.mul(x, largest, out=out).clamp_(-1.0, 1.0)
    return lambda t: torch.mul(x, largest, out=out).mul_(largest).clamp_(-1.0, 1.0)


def _flushed(x: Tensor) -> bool:
    """Whether subnormal numbers count as 0 now, as they do while rules are trained on a CPU."""
    return x.device.type == "cpu" and bool(torch.tensor(torch.finfo(x.dtype).tiny, dtype=x.dtype) * 0.5 == 0)


def _any(function: str, operands: Sequence[Operand], out: Tensor) -> Operation:
    into = TORCH_PRIMITIVES[function].into
    assert into is not None
    if all(isinstance(x, Tensor) or x.constant is not None for x in operands):
        given = [x if isinstance(x, Tensor) else x.constant for x in operands]
        return lambda t: into(*given, out=out)
    readers = _readers(operands)
    return lambda t: into(*[read(t) for read in readers], out=out)


def averaging(memory: Tensor, a: StepNumber, b: StepNumber, x: Tensor) -> Operation:
    """memory <- a memory + b x, in place."""
    fixed, read_b = a.fixed(), b.floats()
    if isinstance(fixed, Tensor):
        return lambda t: memory.mul_(fixed).add_(x, alpha=read_b(t))  # type: ignore[arg-type]  # `averages` admits floats only
    return lambda t: memory.mul_(fixed[t]).add_(x, alpha=read_b(t))  # type: ignore[arg-type]  # `averages` admits floats only


def drawing(function: str, draw: int, operands: Sequence[Operand], source: Draws, out: Tensor) -> Operation:
    """Prepare `noise` or `drop`."""
    readers = _readers(operands)
    if function == "noise":
        return lambda t: torch.mul(source.normal(draw, t).expand_as(out), readers[0](t), out=out)
    x, share = operands
    probability = share.constant if isinstance(share, StepNumber) else None
    if probability is None or not isinstance(x, Tensor):
        into = TORCH_PRIMITIVES["drop"].into
        assert into is not None
        return lambda t: into(readers[0](t), readers[1](t), source.uniform(draw, t).expand_as(out), out=out)
    # where(kept, x, 0) as "and" with all ones or all zeros: several times faster than torch.where, the same to the bit
    bits = torch.int32 if out.dtype == torch.float32 else torch.int64
    x_bits, out_bits = x.view(bits), out.view(bits)
    return lambda t: torch.bitwise_and(x_bits, source.kept(draw, t, probability), out=out_bits)


def reducing(
    function: str, operands: Sequence[Operand], single: Sequence[bool], segments: Sequence[tuple[int, int]], out: Tensor
) -> Operation:
    """Prepare a reduction over each segment of a row; what is one value a segment is reduced as one value, as in `norm(norm(g))`."""
    x = operands[0]
    if function == "norm" and isinstance(x, Tensor) and not any(single):
        return _norm(x, segments, out)
    reduce, readers = TORCH_PRIMITIVES[function].function, _readers(operands)

    def operation(t: int) -> None:
        values = [read(t) for read in readers]
        for first, last in segments:
            ends = [first + 1 if one else last for one in single]
            piece = [
                v[..., first:end] if isinstance(v, Tensor) and v.shape[-1] > 1 else v
                for v, end in zip(values, ends, strict=True)
            ]
            out[..., first:last] = reduce(*piece)

    return operation


def _norm(x: Tensor, segments: Sequence[tuple[int, int]], out: Tensor) -> Operation:
    """Squares of all tensors at once, in memory that no argument lies in; twice as fast as one tensor after the other."""
    pieces = [out[..., first:last] for first, last in segments]

    def operation(t: int) -> None:
        torch.mul(x, x, out=out)
        for piece in pieces:
            piece.copy_(torch.sum(piece, -1, keepdim=True).sqrt_())

    return operation


def copying(into: Tensor, value: Operand) -> Operation:
    """Prepare a copy."""
    if isinstance(value, StepNumber) and value.table.shape[1] == 1:
        numbers = value.tensors()
        return lambda t: into.fill_(numbers[t])  # to copy a number to another device would make it wait
    fixed = _fixed(value)
    return (lambda t: into.copy_(fixed)) if isinstance(fixed, Tensor) else (lambda t: into.copy_(fixed[t]))


def _readers(operands: Sequence[Operand]) -> list[Callable[[int], Tensor | float]]:
    """Return how to read each operand at step t."""
    return [_always(x) if isinstance(x, Tensor) else x.floats() for x in operands]


def _always(value: Tensor) -> Callable[[int], Tensor | float]:
    return lambda t: value
