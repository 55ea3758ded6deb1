"""Checks of what survives: `state_dict`, deepcopy and pickle, after each of which training goes on as if nothing had happened."""

from __future__ import annotations

import copy
import io
import pickle
import re
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from neuropt.testing.subject import Subject, Unmet, is_numeric
from neuropt.testing.trajectories import distance, expect_same, parameters, placed, take_steps, weights

CHANGED = ("lr", "betas", "beta", "beta1", "momentum", "weight_decay")
"""Hyperparameters that are written into a group before it is saved, so that they must come from the file."""
STRICT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def state_dict_round_trip(subject: Subject) -> str:
    """A saved `state_dict` loads with weights_only=True into a fresh optimizer, to the bit, which goes on identically.

    The hyperparameters are those of the file, not of the fresh optimizer.

    In float32; strict: also in float16, bfloat16 and float64, where torch's NAdam rounds its product of momenta when it loads.
    """
    dtypes = STRICT_DTYPES if subject.strict else (torch.float32,)
    for dtype in dtypes:
        _round_trip(subject, dtype)
    return f"bit for bit in {', '.join(str(dtype).removeprefix('torch.') for dtype in dtypes)}"


def deepcopy(subject: Subject) -> str:
    """A deep copy, made after two steps, goes on as the original does, and leaves the original alone."""
    _goes_on_alone(subject, copy.deepcopy, "a deep copy")
    return "goes on alone, bit for bit"


def pickling(subject: Subject) -> str:
    """An optimizer that was pickled after two steps goes on as the original does; its class itself need not be importable."""
    _goes_on_alone(subject, _pickled, "a pickled optimizer")
    return "goes on alone, bit for bit"


def _round_trip(subject: Subject, dtype: torch.dtype) -> None:
    first = subject.make(parameters(dtype=dtype))
    for group in first.param_groups:
        group |= {name: _halved(group[name]) for name in CHANGED if is_numeric(group.get(name))}
    take_steps(first, range(3))
    saved = io.BytesIO()
    torch.save(first.state_dict(), saved)
    saved.seek(0)
    try:
        loaded = torch.load(saved, weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it holds {refused[1]}" if refused else str(error).splitlines()[0]
        raise Unmet(f"expected torch.load(weights_only=True) to load the state_dict, but {what}") from error
    second = subject.make(parameters(dtype=dtype))
    with torch.no_grad():
        for w, trained in zip(placed(second), weights(first), strict=True):
            w.copy_(trained)
    second.load_state_dict(loaded)
    _expect_same_content(first.state_dict(), second.state_dict(), f"state_dict in {dtype}")
    expected, got = (weights(take_steps(optimizer, range(3, 6))) for optimizer in (first, second))
    expect_same(expected, got, f"a fresh optimizer that loaded the state_dict in {dtype} should go on identically")


def _halved(value: Any) -> Any:
    return tuple(map(_halved, value)) if isinstance(value, tuple) else 0.5 * value


def _expect_same_content(expected: Any, got: Any, where: str) -> None:
    match expected:
        case dict() if isinstance(got, dict) and got.keys() == expected.keys():
            for key, value in expected.items():
                _expect_same_content(value, got[key], f"{where}[{key!r}]")
        case list() | tuple() if isinstance(got, type(expected)) and len(got) == len(expected):
            for index, (x, y) in enumerate(zip(expected, got, strict=True)):
                _expect_same_content(x, y, f"{where}[{index}]")
        case Tensor() if isinstance(got, Tensor):
            expect_same([expected], [got], f"{where} after loading")
        case _ if type(got) is type(expected) and (got == expected or got != got):
            pass
        case _:
            raise Unmet(f"{where} after loading: expected {expected!r:.80}, but got {got!r:.80}")


def _goes_on_alone(subject: Subject, copied: Any, what: str) -> None:
    original = take_steps(subject.make(parameters()), range(2))
    other = copied(original)
    before = weights(original)
    got = weights(take_steps(other, range(2, 5)))
    expect_same(before, weights(original), f"steps of {what} should leave the original alone")
    expected = weights(take_steps(original, range(2, 5)))
    if not distance(before, expected):
        raise Unmet(f"3 steps beside {what}: expected an update of the original, but it stayed as it was")
    expect_same(expected, got, f"{what} should go on as the original")


def _pickled(optimizer: Optimizer) -> Optimizer:
    # a class that is written in a notebook or a test has no importable name: classes are kept here and named by their place
    classes: list[type] = []
    file = io.BytesIO()

    class Writer(pickle.Pickler):
        def persistent_id(self, obj: Any) -> int | None:
            if not isinstance(obj, type):
                return None
            classes.append(obj)
            return len(classes) - 1

    class Reader(pickle.Unpickler):
        def persistent_load(self, pid: int) -> type:
            return classes[pid]

    Writer(file).dump(optimizer)
    file.seek(0)
    restored: Optimizer = Reader(file).load()
    return restored
