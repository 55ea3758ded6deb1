"""Where children are trained: a device, its data, and its random numbers. Nothing else here names CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from neuropt.tasks.task import Split

CPU = torch.device("cpu")


def find_device(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: "cpu", "cuda", or "cuda:1" for the second GPU.

    Raises:
        ValueError: another name, or no such GPU here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    kind, _, number = name.partition(":")
    if name != "cpu" and (kind != "cuda" or (number and not number.isdecimal()) or name.endswith(":")):
        raise ValueError(f"device must be cpu, cuda or cuda:NUMBER, but got {name!r}")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name} is not here: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs; use device cpu"
        )
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """Return what people call a device: `cpu`, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache(maxsize=6)
def placed(split: Split, device: torch.device) -> Split:
    """Return a split on the device, copied there once for all children; the split itself where it is there."""
    if split.inputs.device == device:
        return split
    return Split(split.inputs.to(device), split.targets.to(device))


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Return a few numbers of the CPU on the device, without waiting for what it has still to do: CUDA takes a copy of them at once."""
    return numbers.to(device, non_blocking=True)


class Generator:
    """One child's own state of torch's generators, on the CPU and on its device, for dropout and the like."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.state = torch.Generator().manual_seed(seed).get_state()
        self.there: Tensor | None = None
        if device.type != "cpu":
            before = _module(device).get_rng_state(device)
            _module(device).manual_seed(seed)
            self.there = _module(device).get_rng_state(device)
            _module(device).set_rng_state(before, device)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let torch draw from this state meanwhile, and from its own afterwards."""
        devices = [] if self.there is None else [self.device]
        with torch.random.fork_rng(devices, device_type=self.device.type if devices else "cuda"):
            torch.set_rng_state(self.state)
            if self.there is not None:
                _module(self.device).set_rng_state(self.there, self.device)
            yield
            self.state = torch.get_rng_state()
            if self.there is not None:
                self.there = _module(self.device).get_rng_state(self.device)


def _module(device: torch.device) -> Any:
    """Return what torch offers for a kind of device, such as `torch.cuda`."""
    return torch.get_device_module(device)


def wait(device: torch.device) -> None:
    """Return when all that was given to the device is done."""
    if device.type != "cpu":
        _module(device).synchronize(device)
