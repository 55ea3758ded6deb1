"""The three ways to run a step, and which one a group gets: a loop, lists (`foreach`) or compiled kernels (`fused`)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.compiling.compiled import CompilerMissing
from neuropt.compiling.due import Due, GroupStep
from neuropt.compiling.fused import Known, Moving, update_fused

FORMS = ("foreach", "fused")
"""What groups call them."""

_PREPARED: WeakKeyDictionary[Optimizer, dict[Any, Known]] = WeakKeyDictionary()
"""Parameters that are prepared for direct calls, of each optimizer: no part of it that is saved or copied."""


def moving_in(optimizer: Optimizer, group: dict[str, Any], first: int) -> list[list[Moving]]:
    """Return the parameters of a group that have gradients, in lists to be updated in turn, none of which has a parameter twice.

    torch warns of a group with a parameter that is listed twice, and takes two steps with it.

    Args:
        first: index of the group's first parameter over all groups.
    """
    state, moving, params = optimizer.state, list[Moving](), group["params"]
    for index, w in enumerate(params, first):
        if (g := w.grad) is not None:
            moving.append((w, g, state[w], index))
    if len(set(map(id, params))) == len(params):
        return [moving] if moving else []
    turns, seen = list[list[Moving]](), Counter[int]()
    for one in moving:
        seen[id(one[0])] += 1
        if seen[id(one[0])] > len(turns):
            turns.append([])
        turns[seen[id(one[0])] - 1].append(one)
    return turns


def fused_step(
    optimizer: Optimizer, moving: Sequence[Moving], step: GroupStep, make: Callable[[Tensor, int], Due]
) -> list[Due] | None:
    """Update parameters by compiled kernels, and return those that no kernel is for; or None, with one warning, where nothing compiles."""
    kind = step.text, step.maximize, torch.get_num_threads()
    known = _PREPARED.setdefault(optimizer, {}).setdefault(kind, {})
    if len(known) > sum(len(group["params"]) for group in optimizer.param_groups):
        known.clear()  # some have left the optimizer
    try:
        return update_fused(moving, step, make, known)
    except CompilerMissing as error:
        _warn(str(error))
        return None


def by_lists(group: Mapping[str, Any]) -> bool:
    """Return whether a group's step runs over lists: as it asks, and by default as torch, where all that moves is on a GPU."""
    asked: bool | None = group["foreach"]
    return all(w.is_cuda for w in group["params"] if w.grad is not None) if asked is None else asked


def check_forms(owner: str, group: Mapping[str, Any]) -> None:
    """Refuse forms that are neither None, True nor False, and those that exclude each other.

    Args:
        owner: the class, for the message.
        group: with `foreach` and `fused`, and `differentiable` where the class has it.
    """
    for name in FORMS:
        if group[name] is not None and not isinstance(group[name], bool):
            raise TypeError(f"{owner}({name}=...) must be True, False or None, but got {group[name]!r}.")
        if group[name] and group.get("differentiable"):
            raise ValueError(f"{owner}({name}=True, differentiable=True): only one of them can be.")
    if group["foreach"] and group["fused"]:
        raise ValueError(f"{owner}(foreach=True, fused=True): only one of them can be.")


@contextmanager
def kept_forms(optimizer: Optimizer) -> Iterator[None]:
    """Leave the forms of all groups as they are while a state is loaded, which need not have any: they say how a step runs."""
    forms = [{name: group[name] for name in FORMS} for group in optimizer.param_groups]
    yield
    for group, form in zip(optimizer.param_groups, forms, strict=True):
        group.update(form)


@cache
def _warn(reason: str) -> None:
    """Say it once a process."""
    warnings.warn(f"fused=True, but nothing can be compiled here ({reason}); steps run uncompiled.", stacklevel=2)
