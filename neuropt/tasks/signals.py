"""Ten shapes in noisy signals of 40 samples: a task that is made by a formula, so that it needs neither a download nor a package.

In the manner of MNIST-1D (Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", 2020), with shapes and numbers of our own.
An example of class c is its shape, stretched to a random length, put at a random place, scaled, on a random slope, in correlated noise:

    shape_c(x) = sum_{k=1..5} a_ck sin(pi k x) / rms,    0 <= x <= 1
    signal_j   = amplitude shape_c((j - start) / length) + slope (j / 39 - 1/2) + noise_j,    j = 0 .. 39
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuropt.tasks.task import MLP, Split, Task, TaskData
from search_space import draws

SIZES = (2_000, 1_000, 1_000)
SAMPLES, CLASSES, MODES = 40, 10, 5
LENGTHS, AMPLITUDES, SLOPE, NOISE = (16.0, 26.0), (0.7, 1.3), 1.0, 0.25
KERNEL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
"""Noise is smoothed by it."""
GRID = 1024.0
"""Samples are multiples of 1/1024, the same on every machine whatever its last bits are."""
SEED = 40_48_10


def load_signals(data_dir: Path | None = None) -> TaskData:
    """Return the signals: float32 of shape (n, 40), 2,000 / 1,000 / 1,000 examples.

    Args:
        data_dir: not used, the data are made here.

    Example:
        >>> load_signals().train.inputs.shape
        torch.Size([2000, 40])
    """
    signals, labels = _signals(sum(SIZES))
    parts = np.split(np.arange(sum(SIZES)), np.cumsum(SIZES)[:-1])
    return TaskData.of(*(Split(signals[part], labels[part]) for part in parts))


def _signals(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = LENGTHS
    length = low + (high - low) * _uniform(count, 0)
    start = _uniform(count, 1) * (SAMPLES - 1 - length)
    amplitude = AMPLITUDES[0] + (AMPLITUDES[1] - AMPLITUDES[0]) * _uniform(count, 2)
    slope = SLOPE * (2.0 * _uniform(count, 3) - 1.0)
    labels = np.arange(count) % CLASSES
    at = np.arange(SAMPLES)[None, :]  # (1, samples)
    x = (at - start[:, None]) / length[:, None]  # (examples, samples)
    waves = np.sin(np.pi * np.arange(1, MODES + 1)[:, None, None] * x) * ((x >= 0.0) & (x <= 1.0))
    shapes = np.einsum("ek,kes->es", _amplitudes()[labels], waves)
    white = draws.normal(count * (SAMPLES + len(KERNEL) - 1), SEED, 5, 0, 0).reshape(count, -1)
    noise = NOISE * sum(w * white[:, i : i + SAMPLES] for i, w in enumerate(KERNEL)) / np.sqrt(np.square(KERNEL).sum())
    signals = amplitude[:, None] * shapes + slope[:, None] * (at / (SAMPLES - 1) - 0.5) + noise
    rounded = (np.rint(signals * GRID) / GRID).astype(np.float32)
    return torch.from_numpy(rounded), torch.from_numpy(labels.astype(np.int64))


def _amplitudes() -> NDArray[np.float64]:
    """Return a_ck, (classes, modes): higher modes are smaller, and each shape has a root mean square of 1."""
    found = draws.normal(CLASSES * MODES, SEED, 6, 0, 0).reshape(CLASSES, MODES) / np.sqrt(np.arange(1, MODES + 1))
    return np.asarray(found * np.sqrt(2.0 / np.square(found).sum(axis=1, keepdims=True)))


def _uniform(count: int, which: int) -> NDArray[np.float64]:
    return draws.uniform(count, SEED, which, 0, 0)


SIGNALS_MLP = Task(
    name="signals-mlp",
    description="ten shapes in noisy signals of 40 samples, 40-48-10 ReLU network",
    family="synthetic",
    load=load_signals,
    model=MLP((40, 48, 10), "relu"),
    batch_size=64,
    steps=100,
    halving=((17, 4), (50, 2)),
    target=0.77,  # rmsprop 0.779, adam 0.753, momentum 0.717
)


def signals_convnet() -> nn.Sequential:
    """Build two 1-D convolutions of 5 samples, 8 and 16 filters, each with ReLU and stride 2, then a linear classifier."""
    return nn.Sequential(
        nn.Unflatten(1, (1, SAMPLES)),
        nn.Conv1d(1, 8, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv1d(8, 16, 5, stride=2, padding=2), nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 10, CLASSES),
    )  # fmt: skip


SIGNALS_CONV = Task(
    name="signals-conv",
    description="ten shapes in noisy signals of 40 samples, two 1-D convolutions",
    family="synthetic",
    load=load_signals,
    model=signals_convnet,
    batch_size=64,
    steps=200,
    halving=((33, 4), (100, 2)),
    target=0.82,  # adam 0.827, rmsprop 0.801, momentum 0.793
)
