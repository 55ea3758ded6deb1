"""A step as a loop over parameters, and in it a loop over instructions: the least memory, and no compiler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuropt.compiling.draws import drawn_like
from neuropt.compiling.due import Due, GroupNumbers, computed, recall, remember
from neuropt.compiling.execution import Execution


def update_each(due: Sequence[Due], execution: Execution, numbers: GroupNumbers, group: dict[str, Any]) -> None:
    """Update parameters one after the other."""
    for one in due:
        _update(one, execution, numbers, group)


def _update(one: Due, execution: Execution, numbers: GroupNumbers, group: dict[str, Any]) -> None:
    w, g = (computed(x, execution) for x in (one.w, one.g))
    u, remembered = execution.step(
        -g if group["maximize"] else g,
        w,
        numbers.at(numbers.shared(one)),
        recall(one.state, execution),
        lambda function, draw: drawn_like(g, function, group["seed"], one.index, draw, one.t),
    )
    one.state["step"] += 1
    remember(one.state, remembered, one.w)
    if numbers.lr != 0:  # with lr 0 a parameter stays as it is, whatever u is: distributed checkpoints rely on it
        one.w.add_(u.view_as(one.w), alpha=-numbers.lr)
