"""A step as one pass over memory for each tensor, by a compiled kernel.

The kernel is compiled for a flat tensor of any size, so a model of a thousand tensors compiles as long as a model of one, and a
parameter is updated where it is. Its memory is flat in the order in which it lies there (a channels-last weight is not copied), and a
gradient in another order is copied first. Nothing else takes memory.

Tensors of less than two elements are updated by the loop over instructions: compilers treat the sizes 0 and 1 apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.compiled import MANY, Step, compiled, kernel_of
from neuropt.compiling.due import HALF, Due, GroupNumbers, key
from neuropt.compiling.execution import Execution
from neuropt.compiling.kernel import Kernel
from neuropt.compiling.loop import update_each


def update_fused(due: Sequence[Due], execution: Execution, numbers: GroupNumbers, group: dict[str, Any]) -> None:
    """Update parameters by compiled kernels.

    Raises:
        CompilerMissing: nothing can be compiled; no parameter was updated.
    """
    step = _Step(execution, numbers, group)
    some = [one for one in due if one.w.numel() >= 2]
    runs = [step.compiled(one) for one in some]
    for one, run in zip(some, runs, strict=True):
        step.update(one, run)
    if some:
        torch._foreach_add_([one.state["step"] for one in some], 1.0)
    if len(some) < len(due):
        update_each([one for one in due if one.w.numel() < 2], execution, numbers, group)


class _Step:
    """One step of one group."""

    def __init__(self, execution: Execution, numbers: GroupNumbers, group: dict[str, Any]) -> None:
        self.execution, self.numbers, self.group = execution, numbers, group
        self.text, self.maximize = group["rule"], bool(group["maximize"])
        self.threads = torch.get_num_threads()
        self.arguments: dict[tuple[Kernel, tuple[float, ...]], Tensor] = {}
        self.kernels: dict[tuple[torch.dtype, torch.device], Kernel] = {}
        self.keeps_numbers = [r for r in execution.program.remembered if r.kind == "number"]

    def compiled(self, one: Due) -> Step:
        """Return the compiled kernel for one parameter."""
        w = one.w
        many = w.numel() >= MANY and (self.threads > 1 or w.device.type != "cpu")
        return compiled(self._kernel(w), w.dtype, "many" if many else "few", self.threads)

    def update(self, one: Due, run: Step) -> None:
        """Update one parameter; only its step count is left to add to."""
        w, size = one.w, one.w.numel()
        kernel = self._kernel(w)
        shared = self.numbers.shared(one)
        order = _order(w) if kernel.program.deterministic else None
        g = one.g if one.g.dtype == w.dtype else one.g.to(w.dtype)
        flat_w = _flat(w, order, size)
        remembered = [self._remembered(one, name, w, kernel) for name in kernel.tensors]
        flats = [_flat(x, order, size) if x.numel() == size else x for x in remembered]
        target = flat_w if self.numbers.lr != 0 else flat_w.clone()  # with lr 0 a parameter stays as it is
        run(target, _flat(g, order, size), self._numbers(kernel, shared), self._keys(kernel, one), *flats)
        if self.numbers.lr != 0:
            _write_back(w, flat_w, order)
        for x, flat in zip(remembered, flats, strict=True):
            _write_back(x, flat, order)
        if self.keeps_numbers:
            values = self.numbers.at(shared)
            one.state.update({key(r.name): values[r.value] for r in self.keeps_numbers})

    def _kernel(self, w: Tensor) -> Kernel:
        found = self.kernels.get((w.dtype, w.device))
        if found is None:
            dtype = torch.float32 if w.dtype in HALF else w.dtype
            found = self.kernels[w.dtype, w.device] = kernel_of(self.text, dtype, w.device, self.maximize)
        return found

    def _remembered(self, one: Due, name: str, w: Tensor, kernel: Kernel) -> Tensor:
        """Return a remembered tensor, in the dtype and on the device that the kernel reads: it does not look itself."""
        x: Tensor = one.state[key(name)]
        if x.dtype != kernel.dtype or x.device != w.device:
            x = one.state[key(name)] = x.to(device=w.device, dtype=kernel.dtype)
        if x.shape != w.shape and x.numel() != 1:
            raise RuntimeError(f"{name!r} of shape {tuple(x.shape)} is remembered for a parameter of {tuple(w.shape)}.")
        return x

    def _numbers(self, kernel: Kernel, shared: tuple[float, ...]) -> Tensor:
        if (kernel, shared) not in self.arguments:
            self.arguments[kernel, shared] = kernel.numbers(self.numbers.lr, self.numbers.at(shared))
        return self.arguments[kernel, shared]

    def _keys(self, kernel: Kernel, one: Due) -> Tensor | None:
        return None if kernel.program.deterministic else kernel.keys(self.group["seed"], one.index, one.t)


def _order(w: Tensor) -> list[int] | None:
    """Return the axes of a tensor from the outermost in memory to the innermost; None where they lie in their own order."""
    if w.is_contiguous():
        return None
    return sorted(range(w.dim()), key=lambda axis: -w.stride(axis))


def _flat(x: Tensor, order: list[int] | None, size: int) -> Tensor:
    """Return the elements in one row: a view where the memory is in this order, otherwise a copy."""
    return (x if order is None else x.permute(order)).reshape(size)


def _write_back(x: Tensor, flat: Tensor, order: list[int] | None) -> None:
    """Write a row back if it is a copy."""
    if x.data_ptr() != flat.data_ptr():
        target = x if order is None else x.permute(order)
        target.copy_(flat.view(target.shape))
