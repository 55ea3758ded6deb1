"""A user's task whose model goes wrong for real, in a way that the rule chooses, so that one rule of a batch breaks and the others do not.

The rule `1e6 * sign(g)` at learning rate 1 makes weights of about 10^6 in its first step; the model's next forward pass sees them and
does what row 6 of the table says.
"""

import collections
import ctypes
import faulthandler
import itertools
import math
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from neuropt.tasks import load_task_data
from neuropt.tasks.digits import DIGITS_MLP
from neuropt.training.work import Job

MEGABYTE = 2**20


def sleep() -> None:
    time.sleep(1e6)


def loop_in_c() -> None:
    collections.deque(itertools.repeat(0), maxlen=0)  # never gives Python a chance to hear a signal


def allocate() -> None:
    held = []
    while True:
        held.append(torch.ones(4 * MEGABYTE))


def allocate_shared() -> None:
    held = []
    while True:
        shared = mmap.mmap(-1, 16 * MEGABYTE)
        shared.write(b"\1" * (16 * MEGABYTE))
        held.append(shared)


def reserve() -> None:
    torch.empty(2_000 * MEGABYTE, dtype=torch.uint8)  # never touched, so that it is never resident


BROKEN: list[str] = []


def break_the_gpu() -> None:
    """Break it for all that this process trains later too, as CUDA does."""
    BROKEN.append("CUDA error: an illegal memory access was encountered")


def fill_and_hold() -> None:
    held = torch.ones(150 * MEGABYTE)  # 600 MiB, in one piece
    time.sleep(1e6)
    del held


def raise_an_error() -> None:
    raise ValueError("this model is broken")


def leave() -> None:
    sys.exit(3)


def exit_at_once() -> None:
    os._exit(7)


def crash() -> None:
    faulthandler.disable()  # pytest would print where
    ctypes.string_at(0)


def take_the_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")  # as torch words it


def return_nan() -> None:
    """The model returns NaN by itself."""


def kill_the_guard() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(1e6)


def kill_the_worker() -> None:
    """The Ray worker is the parent of the guard, which is the parent of this process."""
    worker = Path(f"/proc/{os.getppid()}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
    os.kill(int(worker), signal.SIGKILL)
    time.sleep(1e6)


FAULTS: dict[int, Callable[[], None]] = dict(
    enumerate(
        (
            sleep,
            loop_in_c,
            allocate,
            allocate_shared,
            raise_an_error,
            leave,
            exit_at_once,
            crash,
            return_nan,
            kill_the_guard,
            kill_the_worker,
            reserve,
            take_the_gpu,
            fill_and_hold,
            break_the_gpu,
        ),
        start=5,
    )
)


def job(fault: Callable[[], None] | None) -> Job:
    """A rule that makes the model do this."""
    if fault is None:
        return Job("0.1 * g", (1.0,))
    size = next(size for size, known in FAULTS.items() if known is fault)
    return Job(f"1e{size} * sign(g)", (1.0,))


class Faulty(nn.Module):
    """A linear model that looks at its weights."""

    def __init__(self, faults: dict[int, Callable[[], None]]) -> None:
        super().__init__()
        self.linear, self.faults = nn.Linear(64, 10), faults

    def forward(self, x: Tensor) -> Tensor:
        largest = float(self.linear.weight.detach().abs().max())
        fault = self.faults.get(round(math.log10(largest)) if 0 < largest < math.inf else 0)
        if fault is not None:
            fault()
        if BROKEN:
            raise RuntimeError(BROKEN[0])
        logits: Tensor = self.linear(x.flatten(1))
        return logits * math.nan if fault is return_nan else logits


FAULTY = replace(
    DIGITS_MLP, name="faulty", description="goes wrong", model=partial(Faulty, FAULTS), steps=6, halving=()
)
FAULTY_DATA = load_task_data(FAULTY)
