"""Train on a device that is not there: its tensors have shapes, types and a place, but no numbers (torch's fake tensors).

Run as a program of its own, since a device is made for the whole process. Reading a number back, or mixing tensors of this device with
those of the CPU, is an error, and so is a copy to it that would wait until it has done all else; so what ends without one can run on a GPU
without waiting for it. Prints what came of each form.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neuropt.compiling.program import compile_program
from neuropt.tasks import get_task
from neuropt.tasks.task import Split, Task, TaskData
from neuropt.training.forms import Form
from neuropt.training.one_at_a_time import OneAtATime
from neuropt.training.population import Population
from neuropt.training.row_population import RowPopulation
from neuropt.training.train import rule_factory
from search_space import parse_rule

TEXTS = (
    "adam",
    "g / (norm(g) + 1e-8)",
    "m * ld + 100 * lr * g",
    "drop(m, 0.3) + noise(0.1) * drop(1, 0.5)",
    "where(g > 0.1, 0.5, w) + where(t < 3, g, m)",
    "mod(g, 0.1) + 2 ** g + pow_abs(g, 1 + t) + clip(g, 0.1) + max(ld, g)",
    "ld",
)
RULES = [parse_rule(text) for text in TEXTS]
RATES = [[1e-3, 1e-2], *[[1e-3]] * (len(RULES) - 1)]
STEPS = 2
KEPT: list[Any] = []
"""torch's made-up device does not bear being freed."""


class _Generators(backend_registration._DummyBackendModule):
    """What the device module of a real one has besides."""

    def get_rng_state(self, device: torch.device) -> Tensor:
        return torch.zeros(8, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: torch.device) -> None: ...

    def manual_seed(self, seed: int) -> None: ...


class _Reads(TorchDispatchMode):
    """Numbers may be read from tensors of the CPU, where optimizers keep their step counts: they are 0 here."""

    training = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            if args[0].device.type != "cpu":
                raise RuntimeError("a number was read back")
            return 0
        if self.training and _waits(func, args, kwargs or {}):
            raise RuntimeError(f"{func} copies to the device and waits")
        return func(*args, **(kwargs or {}))


def _waits(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a copy to the device is made that waits for it: one that is asked for, or the one that a selection or an index makes."""
    aten, tensors = torch.ops.aten, [x for x in tree_leaves(args) if isinstance(x, Tensor)]
    there = [x.device.type != "cpu" for x in tensors]
    if func is aten._to_copy.default:
        device = kwargs.get("device")
        return device is not None and device.type != "cpu" and not there[0] and not kwargs.get("non_blocking")
    if func is aten.copy_.default:
        return there == [True, False] and True not in args[2:] and not kwargs.get("non_blocking")
    return func in (aten.where.self, aten.where.self_out, aten.index.Tensor) and len({*there}) == 2


class There(nn.Module):
    """A small convolution, built on the device already: fake parameters cannot be moved."""

    def __init__(self) -> None:
        super().__init__()
        with torch.device("faraway"):
            self.network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 10))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits

    def _apply(self, fn: Any, recurse: bool = True) -> There:
        return self


class Reading(There):
    """Waits for the device in each pass."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return logits * float(logits.detach().sum())


class Sending(There):
    """Sends the device a number in each pass, and waits until it is there."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.ones(()).to(x.device)


def _data(shape: tuple[int, ...]) -> TaskData:
    """Fake examples; `TaskData` itself would look at their numbers."""
    data = object.__new__(TaskData)
    for name in ("train", "validation", "test"):
        object.__setattr__(data, name, Split(torch.zeros(64, *shape), torch.zeros(64, dtype=torch.int64)))
    return data


def _train(form: str) -> None:
    device = torch.device("faraway")
    images = _data((3, 8, 8))
    model = {"reading": Reading, "sending": Sending}.get(form, There)
    task = Task("there", "for tests", "tests", lambda _: images, model, batch_size=16, steps=6)
    programs = [compile_program(rule) for rule in RULES]
    if form == "plain":
        factories = [rule_factory(rule, task.steps) for rule in RULES]
        cohort = OneAtATime(task, images, factories, RATES, [1], device=device)
        KEPT.append(cohort)
        for trainee in cohort.trainees[0]:
            _advance(trainee)
    elif form == "population":
        digits = get_task("digits-mlp").with_budget(6)
        KEPT.append(Population(digits, _data((64,)), programs, RATES, [1], device=device))
        _advance(KEPT[-1])
    else:
        forms: dict[str, Form] = {"rows": "rows", "channels-last": "channels-last", "batched": "batched"}
        KEPT.append(RowPopulation(task, images, programs, RATES, [1], forms.get(form, "rows"), device))
        _advance(KEPT[-1])


def _advance(children: Any) -> None:
    """Train, in the loop that is to wait for nothing."""
    _Reads.training = True
    try:
        children.advance(STEPS)
    finally:
        _Reads.training = False


if __name__ == "__main__":
    backend_registration._setup_privateuseone_for_python_backend("faraway", _Generators())
    warnings.simplefilter("ignore")  # of torch, about copies of fake tensors
    torch.set_num_threads(1)
    gc.disable()
    with FakeTensorMode(allow_non_fake_inputs=True), _Reads():  # type: ignore[no-untyped-call]  # of torch
        for name in sys.argv[1:]:
            try:
                _train(name)
                print(name, "done", flush=True)
            except RuntimeError as error:
                print(name, str(error).split("\n")[0], flush=True)
    os._exit(0)
