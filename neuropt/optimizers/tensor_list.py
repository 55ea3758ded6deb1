"""Tensors of one type and device as one value, so that a formula for one tensor is a formula for hundreds.

    m.mul_(0.9).add_(g, alpha=0.1)      for lists m and g: torch._foreach_mul_(m, 0.9), torch._foreach_add_(m, g, alpha=0.1)
    torch.pow(2.0, g.sign())            torch._foreach_pow(2.0, torch._foreach_sign(g))
    x.clamp(low, high)                  torch has no such function of lists: a call for each tensor

The numbers are those of a tensor alone, to the last bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from neuropt.compiling.due import HALF

NAMES = {
    "__add__": "add",
    "__sub__": "sub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__truediv__": "div",
    "__neg__": "neg",
}
"""Operators that are functions under another name."""


class TensorList:
    """Tensors that are read and written together; see the module.

    Example:
        >>> x = TensorList([torch.ones(2), torch.zeros(1)])
        >>> (2 * x + 1).tensors
        [tensor([3., 3.]), tensor([1.])]
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    @property
    def dtype(self) -> torch.dtype:
        """The type of each."""
        return self.tensors[0].dtype

    @property
    def device(self) -> torch.device:
        """The place of each."""
        return self.tensors[0].device

    def __getattr__(self, name: str) -> Callable[..., TensorList]:
        """Return a method of tensors."""
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **options: _called(name, getattr(Tensor, name), (self, *arguments), options)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> TensorList:
        """Call a function of torch, or an operator whose other side is a tensor."""
        return _called(function.__name__, function, arguments, options or {})

    def __add__(self, other: Any) -> TensorList:
        return _called("add", Tensor.add, (self, other), {})

    def __sub__(self, other: Any) -> TensorList:
        return _called("sub", Tensor.sub, (self, other), {})

    def __mul__(self, other: Any) -> TensorList:
        return _called("mul", Tensor.mul, (self, other), {})

    def __truediv__(self, other: Any) -> TensorList:
        return _called("div", Tensor.div, (self, other), {})

    def __rtruediv__(self, other: Any) -> TensorList:
        inverse: TensorList = _called("reciprocal", Tensor.reciprocal, (self,), {})
        return inverse.__mul__(other)  # as one tensor does it

    def __neg__(self) -> TensorList:
        return _called("neg", Tensor.neg, (self,), {})

    __radd__, __rmul__ = __add__, __mul__


def _called(
    name: str, function: Callable[..., Any], arguments: Sequence[Any], options: Mapping[str, Any]
) -> TensorList:
    lists = [x for x in arguments if isinstance(x, TensorList)]
    form = getattr(torch, f"_foreach_{NAMES.get(name, name)}", None)
    if name == "mul_" and lists[0].dtype in HALF:
        form = None  # torch.mul_ multiplies by a number as it is, torch._foreach_mul_ by its rounding to half precision
    if form is not None and not any(isinstance(x, Tensor) for x in arguments):
        found = form(*(x.tensors if isinstance(x, TensorList) else x for x in arguments), **options)
    else:
        places = range(len(lists[0].tensors))
        found = [
            function(*(x.tensors[i] if isinstance(x, TensorList) else x for x in arguments), **options) for i in places
        ]
    return lists[0] if name.endswith("_") and not name.endswith("__") else TensorList(found)
