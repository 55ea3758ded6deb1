"""A step as one call of machine code for each parameter.

What a call needs is looked up when a parameter is first seen, and only checked from then on: the same tensors, of the same type and size,
in one piece of memory. Looking up takes ten times as long as checking, as long as an Adam step of 30,000 elements.
"""

# torch documents its _foreach_ functions but leaves them out of __all__:
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from neuropt.compiling.compiled import Compiled
from neuropt.compiling.due import Due, GroupStep, State, key

G, NUMBERS, KEYS, FIRST = 1, 2, 3, 4
"""Places among a kernel's arguments: (w, g, numbers, keys, *remembered)."""


class Prepared:
    """A parameter whose memory machine code can take as it is, once `fits` says so.

    Args:
        one: the parameter.
        compiled: the kernel for it, with machine code.
        format: order of its memory; None is the plain one.
    """

    __slots__ = (
        "arguments",
        "at_g",
        "at_keys",
        "at_numbers",
        "compiled",
        "format",
        "function",
        "index",
        "kept",
        "kind",
        "size",
        "state",
        "step",
        "t",
        "w",
    )

    def __init__(self, one: Due, compiled: Compiled, format: torch.memory_format | None) -> None:
        assert compiled.code is not None
        kernel, places = compiled.kernel, compiled.code.places
        self.compiled, self.function, self.format = compiled, compiled.code.function, format
        self.state, self.index, self.t = one.state, one.index, one.t
        self.step: Tensor = one.state["step"]
        self.w, self.kind, self.size = one.w, one.w.dtype, one.w.numel()
        wide = {r.name for r in kernel.program.remembered if r.kind == "tensor"}
        tensors: list[Tensor] = [one.state[key(name)] for name in kernel.tensors]
        sizes = [self.size if name in wide else 1 for name in kernel.tensors]
        self.kept = list(zip(map(key, kernel.tensors), tensors, sizes, [kernel.kept] * len(sizes), strict=True))
        own = [torch.empty(1, dtype=dtype) for dtype in compiled.code.own]
        given = [one.w, None, None, None, *tensors, *reversed(own), self.size]  # places from -1 down count from the end
        self.arguments: list[Any] = [given[place] for place in places]
        self.at_g, self.at_numbers = places.index(G), places.index(NUMBERS)
        self.at_keys = places.index(KEYS) if KEYS in places else None

    def fits(self, w: Tensor, g: Tensor, state: State) -> bool:
        """Return whether machine code may be called along a gradient, all else being as it was; and read t."""
        kind, size, step, format = self.kind, self.size, self.step, self.format
        if w is not self.w or state is not self.state or state.get("step") is not step or type(g) is not Tensor:
            return False
        if g.layout is not torch.strided or g.dtype is not kind or g.numel() != size or not g.is_cpu:
            return False
        if w.dtype is not kind or w.numel() != size or not w.is_cpu or (size == 1 and g.is_neg()):
            return False
        for name, x, size, kind in self.kept:
            if state.get(name) is not x or x.dtype is not kind or x.numel() != size or not x.is_cpu:
                return False
            if not (x.is_contiguous() if format is None else x.is_contiguous(memory_format=format)):
                return False
        self.t = int(step.item())
        if format is None:
            return w.is_contiguous() and g.is_contiguous()
        return w.is_contiguous(memory_format=format) and g.is_contiguous(memory_format=format)


def prepare(w: Tensor, one: Due, compiled: Compiled) -> Prepared | None:
    """Return a parameter prepared for direct calls, or None where its memory or its kernel are not made for them."""
    if compiled.code is None or one.w is not w or type(w) not in (Tensor, Parameter):
        return None
    program, places = compiled.kernel.program, compiled.code.places
    if any(places.count(place) != 1 for place in (G, NUMBERS)) or not (program.pointwise or w.numel() > 1):
        return None
    made = Prepared(one, compiled, _format(w) if program.deterministic else None)
    return made if made.fits(w, one.g, one.state) else None


def _format(w: Tensor) -> torch.memory_format | None:
    """Return the order of a parameter's memory, None for the plain one; draws know elements by their place in that."""
    known = {4: torch.channels_last, 5: torch.channels_last_3d}
    return None if w.is_contiguous() else known.get(w.dim())


def update_prepared(ready: Sequence[tuple[Prepared, Tensor]], step: GroupStep) -> None:
    """Update parameters that fit, along their gradients."""
    if not ready:
        return
    compiled, t, numbers = None, -1, None
    for one, g in ready:
        if one.compiled is not compiled or one.t != t or step.remembered:
            compiled, t = one.compiled, one.t
            numbers = step.numbers(compiled.kernel, step.shared(one))
        arguments = one.arguments
        arguments[one.at_g], arguments[one.at_numbers] = g, numbers
        if one.at_keys is not None:
            arguments[one.at_keys] = one.compiled.kernel.keys(step.seed, one.index, one.t)
    for one, _ in ready if step.remembered else ():
        step.remember_numbers(one)
    count([one.step for one, _ in ready])
    increment_version([one.w for one, _ in ready])  # as any operation in place, which autograd is to see
    # last of all the kernels: they push the interpreter's own data out of the cache
    for one, _ in ready:
        one.function(*one.arguments)
        one.arguments[one.at_g] = None  # a gradient may be freed before the next step


ONE = torch.ones((), dtype=torch.float32)


def count(steps: list[Tensor]) -> None:
    """Add 1 to step counts."""
    torch._foreach_add_(steps, ONE, alpha=1.0)  # a Python number would be wrapped for each of them
