"""The machine code of a kernel on a CPU, found by watching the Python code that torch.compile wrote around it.

    def call(args):                                   written by the compiler
        numbers, size, g, m, w = args
        cpp_fused_add_mul_0(m, g, numbers, w, m, w, size)
        return ()

The one call in the middle reads the addresses of its tensors and loops over `size` elements; all around it is for general graphs, and
takes ten times as long. It is told from other code by Python's own profiling hook, and the order of its arguments by letting the code
run once with something that only listens in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor

NAME = "kernel"
"""What torch's compiler calls every piece of machine code."""


@dataclass(frozen=True, slots=True)
class MachineCode:
    """A function of machine code. It looks at nothing: its tensors must have the type and the size that it takes them to have.

    Args:
        function: takes tensors and the number of their elements.
        places: for each of its arguments, the number of the kernel's argument that it is; -1 is the number of elements, -2, -3, ... are
            `own`.
        own: types of tensors of one element that it works in, such as the sum of a norm.
    """

    function: Callable[..., object]
    places: tuple[int, ...]
    own: tuple[torch.dtype, ...]


def machine_code(step: Callable[..., object], arguments: Sequence[Any]) -> MachineCode | None:
    """Return the machine code that a step calls, or None where it calls none, several, or one with tensors of many elements of its own.

    Args:
        step: calls compiled code.
        arguments: a kernel's arguments, to call it with; those that are tensors lie in different places.
    """
    found = _called(step, arguments)
    if len(found) != 1:
        return None
    ((names, function),) = found
    heard: list[tuple[Any, ...]] = []
    ours = [name for name, value in names.items() if value is function]
    try:
        names.update(dict.fromkeys(ours, lambda *given: heard.append(given)))
        step(*arguments)
    finally:
        names.update(dict.fromkeys(ours, function))
    if len(heard) != 1:
        return None
    size = arguments[0].numel()
    known = {x.data_ptr(): place for place, x in enumerate(arguments) if isinstance(x, Tensor)}
    own: list[torch.dtype] = []
    for x in heard[0]:
        if isinstance(x, Tensor) and x.data_ptr() not in known and x.numel() == 1:
            own.append(x.dtype)
            known[x.data_ptr()] = -1 - len(own)
    places = [known.get(x.data_ptr()) if isinstance(x, Tensor) else -1 if x == size else None for x in heard[0]]
    whole = tuple(place for place in places if place is not None)
    return MachineCode(function, whole, tuple(own)) if len(whole) == len(places) else None


def _called(
    step: Callable[..., object], arguments: Sequence[Any]
) -> list[tuple[dict[str, Any], Callable[..., object]]]:
    """Return each piece of machine code that a step calls, and the names of the module that calls it."""
    found: list[tuple[dict[str, Any], Callable[..., object]]] = []

    def watch(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ == NAME:
            found.append((frame.f_globals, called))

    def watched() -> None:
        sys.setprofile(watch)
        try:
            step(*arguments)
        finally:
            sys.setprofile(None)

    if sys.getprofile() is None:
        watched()
        return found
    with ThreadPoolExecutor(1) as pool:  # hooks are a thread's own: whoever profiles this one goes on
        pool.submit(watched).result()
    return found
