"""The three ways to run a step, and which one a group gets: a loop, lists (`foreach`) or compiled kernels (`fused`)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from neuropt.compiling.compiled import CompilerMissing
from neuropt.compiling.due import Due, GroupNumbers
from neuropt.compiling.execution import Execution
from neuropt.compiling.foreach import update_lists
from neuropt.compiling.fused import update_fused
from neuropt.compiling.loop import update_each


def update(due: Sequence[Due], execution: Execution, group: dict[str, Any]) -> None:
    """Update parameters in the form that their group asks for; by default as torch, lists where all is on a GPU, otherwise a loop."""
    numbers = GroupNumbers(execution, group)
    if group["fused"]:
        try:
            return update_fused(due, execution, numbers, group)
        except CompilerMissing as error:
            _warn(str(error))
    foreach = group["foreach"]
    if foreach is None:
        foreach = all(one.w.device.type == "cuda" for one in due)
    (update_lists if foreach else update_each)(due, execution, numbers, group)


@cache
def _warn(reason: str) -> None:
    """Say it once a process."""
    warnings.warn(f"fused=True, but nothing can be compiled here ({reason}); steps run uncompiled.", stacklevel=2)
