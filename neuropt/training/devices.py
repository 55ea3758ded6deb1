"""Where children are trained: a device, its data, and its random numbers. Nothing else here names CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

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


class Generator:
    """One child's own state of torch's generators, on the CPU and on its device, for dropout and the like."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.states = [torch.Generator(d).manual_seed(seed).get_state() for d in self._devices]

    @property
    def _devices(self) -> list[torch.device]:
        return [CPU] if self.device.type == "cpu" else [CPU, self.device]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let torch draw from these states meanwhile, and from its own afterwards."""
        before = [_state(device) for device in self._devices]
        for device, state in zip(self._devices, self.states, strict=True):
            _set_state(device, state)
        try:
            yield
        finally:
            self.states = [_state(device) for device in self._devices]
            for device, state in zip(self._devices, before, strict=True):
                _set_state(device, state)


def _state(device: torch.device) -> Tensor:
    if device.type == "cpu":
        return torch.get_rng_state()
    state: Tensor = torch.get_device_module(device).get_rng_state(device)
    return state


def _set_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)


def wait(device: torch.device) -> None:
    """Return when all that was given to the device is done."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize(device)
