"""A step over lists: one torch call for each instruction of the rule and all tensors that share their numbers.

`0.9 * prev(m) + 0.1 * g` is three calls of `torch._foreach_mul` and `torch._foreach_add`, for one tensor or for hundreds, which on a GPU
are a few launches. What has no such function (a selection, a reduction) is called for one tensor after the other.
"""

# torch documents its _foreach_ functions but leaves them out of __all__:
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.draws import drawn_like
from neuropt.compiling.due import Due, GroupStep, computed, recall, remember
from neuropt.compiling.torch_primitives import TORCH_PRIMITIVES, fitting

Tensors = Sequence[Tensor]
Lists = Tensors | float
"""A value of the rule for every tensor, or a number for all."""


def _add(x: Any, y: Any) -> Any:
    return torch._foreach_add(x, y) if not isinstance(x, float) else torch._foreach_add(y, x)


def _subtract(x: Any, y: Any) -> Any:
    if isinstance(x, float):
        return torch._foreach_add(torch._foreach_neg(y), x)
    return torch._foreach_sub(x, y)


def _multiply(x: Any, y: Any) -> Any:
    return torch._foreach_mul(x, y) if not isinstance(x, float) else torch._foreach_mul(y, x)


def _divide(x: Any, y: Any) -> Any:
    return torch._foreach_div(x, y) if not isinstance(x, float) else _each("/", [x, y])


def _sign(x: Any) -> Any:
    # as `torch_primitives`: the sign of NaN is NaN, and even the least subnormal is lifted above 1
    largest = 2.0 ** (math.frexp(torch.finfo(x[0].dtype).max)[1] - 1)
    lifted = torch._foreach_mul(x, largest)
    torch._foreach_mul_(lifted, largest)
    torch._foreach_clamp_min_(lifted, -1.0)
    torch._foreach_clamp_max_(lifted, 1.0)
    return lifted


def _each(function: str, arguments: Sequence[Any]) -> Tensors:
    """Call a function that has no form for lists."""
    one = TORCH_PRIMITIVES[function].function
    count = next(len(x) for x in arguments if not isinstance(x, float))
    return [one(*(x if isinstance(x, float) else x[i] for x in arguments)) for i in range(count)]


LISTED: dict[str, Callable[..., Any]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "neg": torch._foreach_neg,
    "abs": torch._foreach_abs,
    "sign": _sign,
    "exp": torch._foreach_exp,
    "log": torch._foreach_log,
    "sqrt": torch._foreach_sqrt,
    "cos": torch._foreach_cos,
    "tanh": torch._foreach_tanh,
    "noise": _multiply,
}
"""What torch computes for lists, by name, with the meaning that it has for one tensor."""
IN_PLACE: dict[str, Callable[..., None]] = {
    "+": torch._foreach_add_,
    "-": torch._foreach_sub_,
    "*": torch._foreach_mul_,
    "/": torch._foreach_div_,
    "neg": torch._foreach_neg_,
    "abs": torch._foreach_abs_,
    "exp": torch._foreach_exp_,
    "log": torch._foreach_log_,
    "sqrt": torch._foreach_sqrt_,
    "cos": torch._foreach_cos_,
    "tanh": torch._foreach_tanh_,
}
"""The same over the memory of the first argument."""


def update_lists(due: Sequence[Due], step: GroupStep) -> None:
    """Update parameters together where they share dtype, device and numbers."""
    together: dict[Any, list[Due]] = {}
    for one in due:
        together.setdefault((one.w.dtype, one.w.device, step.shared(one)), []).append(one)
    for (_, _, shared), some in together.items():
        _update(some, step, step.at(shared))


def _update(due: Sequence[Due], group: GroupStep, numbers: Sequence[Any]) -> None:
    execution = group.execution
    program = execution.program
    w, g = ([computed(x, execution) for x in some] for some in ([one.w for one in due], [one.g for one in due]))
    remembered = [recall(one.state, execution) for one in due]
    values: list[Any] = [None if number is None else fitting(number, g[0].dtype) for number in numbers]
    for number, name in execution.inputs:
        values[number] = w if name == "w" else torch._foreach_neg(g) if group.maximize else g
    for r in program.remembered:
        if r.kind != "number":
            values[r.leaf] = [one[r.name] for one in remembered]
    for number, step in enumerate(execution.steps, len(program.leaves) + program.numbers):
        function = program.instructions[number - len(program.leaves)].function
        arguments = [values[argument] for argument in step.arguments]
        if step.draw is not None:
            name, draw = step.draw
            drawn = (drawn_like(x, name, group.seed, one.index, draw, one.t) for x, one in zip(g, due, strict=True))
            arguments.append(list(drawn))
        if step.into == 0 and function in IN_PLACE:
            IN_PLACE[function](*arguments)
            values[number] = arguments[0]
        else:
            values[number] = LISTED[function](*arguments) if function in LISTED else _each(function, arguments)
        del arguments
        for dead in step.dying:
            values[dead] = None
    for i, one in enumerate(due):
        kept = {r.name: numbers[r.value] if r.kind == "number" else values[r.value][i] for r in program.remembered}
        for name in execution.copied:
            kept[name] = kept[name].clone()
        remember(one.state, kept, one.w)
    torch._foreach_add_([one.state["step"] for one in due], 1.0)
    if group.lr == 0:  # with lr 0 a parameter stays as it is, whatever u is
        return
    u = values[program.result]
    us = [torch.full_like(x, u) if isinstance(u, float) else u[i].expand_as(x) for i, x in enumerate(w)]
    torch._foreach_add_(
        [one.w for one in due], [x.view_as(one.w) for x, one in zip(us, due, strict=True)], alpha=-group.lr
    )
