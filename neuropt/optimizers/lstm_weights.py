"""Where the learned optimizer's network comes from, and how it travels.

    a name      "quadratics": a file of the folder `weights/`, in the wheel
    a file      what `neuropt meta-train` wrote: a dictionary of plain tensors that torch loads with weights_only=True
    a mapping   the tensors themselves
    a text      "lstm:..." in a parameter group: the tensors in base 64

A group holds text, not tensors or a path: it is never changed by accident, two groups can be compared with ==, and whatever keeps a
state_dict keeps the network with it.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import os
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuropt.optimizers.lstm_network import SHAPES, Network
from neuropt.writing import whole_file

PREFIX = "lstm:"
LARGEST_P = 80.0
"""e^p and e^-p are finite and normal numbers of float32 up to here."""
LARGEST_FILE = 1_000_000
"""Bytes; a network takes 25,000."""

_COUNT = sum(math.prod(shape) for shape in SHAPES.values())


def shipped_weights() -> tuple[str, ...]:
    """Return the names of the networks in the wheel.

    >>> "quadratics" in shipped_weights()
    True
    """
    folder = files("neuropt.optimizers").joinpath("weights")
    return tuple(sorted(file.name.removesuffix(".pt") for file in folder.iterdir() if file.name.endswith(".pt")))


def network_text(weights: object, name: str = "weights") -> str:
    """Return a network as the text that parameter groups hold.

    Args:
        weights: a shipped name, a file, a mapping from names to tensors, or the text itself.
        name: the argument, as typed by the user, for messages.

    Raises:
        TypeError: for anything else.
        ValueError: for an unknown name, a damaged file, or tensors that are no network.
    """
    if isinstance(weights, str) and weights.startswith(PREFIX):
        _decode(weights, name)
        return weights
    if isinstance(weights, str | os.PathLike):
        weights = load_network(weights, name)
    elif not isinstance(weights, Mapping):
        raise TypeError(
            f"{name} must be one of {', '.join(shipped_weights())}, a file, or a mapping from names to tensors, "
            f"but got {weights!r:.80}."
        )
    network = _checked(weights, name)
    flat = torch.cat([network[key].reshape(-1) for key in SHAPES])
    return PREFIX + base64.b64encode(flat.numpy().astype("<f4").tobytes()).decode("ascii")


@lru_cache(maxsize=16)
def network_of(text: str, dtype: torch.dtype, device: torch.device) -> Network:
    """Return the tensors of a group's text, of a type and on a device; made once."""
    with torch.inference_mode(False):  # autograd may have to keep them, whoever asks first
        return {key: x.to(device, dtype) for key, x in _decode(text, "weights").items()}


def load_network(source: str | os.PathLike[str], name: str = "weights") -> Network:
    """Read a network: a shipped one by its name, or a file.

    Args:
        source: one of `shipped_weights()`, or a path.
        name: the argument, as typed by the user, for messages.

    Raises:
        ValueError: for an unknown name, or a file that is not there, damaged, or not a network's.
    """
    if source in shipped_weights():
        data = files("neuropt.optimizers").joinpath("weights", f"{source}.pt").read_bytes()
    else:
        path = Path(source)
        if not path.is_file():
            raise ValueError(
                f"{name} must be one of {', '.join(shipped_weights())}, or a file that `neuropt meta-train` wrote, "
                f"but there is no file {str(source)!r}."
            )
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{name}: {path} has {path.stat().st_size} bytes, but a network has about 25,000.")
        data = path.read_bytes()
    try:
        found: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # torch raises errors of many kinds for damaged files
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{name}: {source} is not a file of tensors: {reason:.200}") from None
    if not isinstance(found, Mapping):
        raise ValueError(f"{name}: {source} must hold a mapping of tensors, but holds {type(found).__name__}.")
    return _checked(found, f"{name}: {source}")


def save_network(network: Network, path: Path) -> None:
    """Write a network as a dictionary of float32 tensors, all of it or nothing.

    Raises:
        ValueError: for tensors that are no network.
    """
    checked = dict(_checked(network, "network"))
    with whole_file(path) as file:
        torch.save(checked, file)


def _checked(network: Mapping[Any, Any], name: str) -> Network:
    """Return the network in float32 on the CPU, in the order of SHAPES, or say what is wrong with it."""
    if set(network) != set(SHAPES):
        odd = sorted(map(str, set(network) ^ set(SHAPES)))
        raise ValueError(f"{name} must hold exactly {', '.join(SHAPES)}; missing or unknown: {', '.join(odd):.200}.")
    for key, shape in SHAPES.items():
        value = network[key]
        if not isinstance(value, Tensor) or value.layout != torch.strided or not value.is_floating_point():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name}[{key!r}] must be a dense tensor of real numbers, but got {kind}.")
        if tuple(value.shape) != shape:
            raise ValueError(f"{name}[{key!r}] must have shape {shape}, but got {tuple(value.shape)}.")
    checked = {key: network[key].detach().to("cpu", torch.float32) for key in SHAPES}
    for key, value in checked.items():
        if not value.isfinite().all():
            raise ValueError(f"{name}[{key!r}] must be finite numbers of float32, but holds NaN or infinity.")
    if not 0 < (p := float(checked["p"])) <= LARGEST_P:
        raise ValueError(f"{name}['p'] must be > 0 and <= {LARGEST_P:g}, but got {p:g}.")
    return checked


def _decode(text: str, name: str) -> Network:
    try:
        data = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} begins with {PREFIX!r}, but what follows is not base 64.") from None
    if len(data) != 4 * _COUNT:
        raise ValueError(f"{name} must hold {_COUNT} numbers of 4 bytes, but holds {len(data)} bytes.")
    flat = torch.frombuffer(bytearray(data), dtype=torch.float32)
    parts = flat.split([math.prod(shape) for shape in SHAPES.values()])
    return _checked({key: x.reshape(SHAPES[key]) for key, x in zip(SHAPES, parts, strict=True)}, name)
