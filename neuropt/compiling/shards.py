"""Parameters that are cut into shards over processes (DTensor, as FSDP2 makes them), under rules that need the whole of a tensor.

A norm is one of all elements, and random numbers are functions of an element's place in the whole. So each process gathers one parameter
after the other, with its gradient and what the rule remembers of it, computes the whole, and keeps its shard: the numbers are those of one
process, for the memory and the transfer of one whole parameter at a time. Pointwise rules without draws step their shards as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from neuropt.compiling.program import Program


def is_gathered(w: Tensor, program: Program) -> bool:
    """Whether a parameter is sharded and the rule needs the whole of it."""
    return not (program.pointwise and program.deterministic) and hasattr(w, "placements")


def whole(x: Any) -> Any:
    """Return the whole of a sharded tensor on every process; all of them call this. Whatever else comes is returned as it is."""
    return x.full_tensor() if hasattr(x, "placements") else x


def cut(x: Tensor, like: Any) -> Tensor:
    """Return a whole tensor, which every process has, in the shards of another; nothing is sent."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(x, like.device_mesh, like.placements, src_data_rank=None)


def cut_state(state: Mapping[str, Any], like: Tensor) -> dict[str, Any]:
    """Return the state of a whole parameter as that of its shards: its step and what is one number for all stay as they are."""
    return {name: cut(x, like) if name != "step" and _is_like(x, like) else x for name, x in state.items()}


def _is_like(x: Any, like: Tensor) -> bool:
    return isinstance(x, Tensor) and x.shape == like.shape
