"""A step as a loop over parameters, and in it a loop over instructions: the least memory, and no compiler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuropt.compiling.draws import drawn_like
from neuropt.compiling.due import Due, GroupStep, computed, recall, remember
from neuropt.compiling.shards import cut, cut_state, is_gathered, whole


def update_each(due: Sequence[Due], step: GroupStep) -> None:
    """Update parameters one after the other."""
    for one in due:
        if is_gathered(one.w, step.execution.program):
            _update_gathered(one, step)
        else:
            _update(one, step)


def _update_gathered(one: Due, step: GroupStep) -> None:
    state = {name: whole(value) for name, value in one.state.items()}
    gathered = replace(one, w=whole(one.w).clone(), g=whole(one.g), state=state)
    _update(gathered, step)
    one.w.copy_(cut(gathered.w, one.w))
    one.state.update(cut_state(state, one.w))


def _update(one: Due, step: GroupStep) -> None:
    execution = step.execution
    w, g = (computed(x, execution) for x in (one.w, one.g))
    u, remembered = execution.step(
        -g if step.maximize else g,
        w,
        step.at(step.shared(one)),
        recall(one.state, execution),
        lambda function, draw: drawn_like(g, function, step.seed, one.index, draw, one.t),
    )
    one.state["step"] += 1
    remember(one.state, remembered, one.w)
    if step.lr != 0:  # with lr 0 a parameter stays as it is, whatever u is: distributed checkpoints rely on it
        one.w.add_(u.view_as(one.w), alpha=-step.lr)
