"""The default task and three more: scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuropt.tasks.metrics import squared_error
from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import MLP, Split, Task, TaskData

SIZES = (1_000, 397, 400)
SIDE, CLASSES = 8, 10
MAX_PIXEL = 16.0


def load_digits(data_dir: Path | None = None) -> TaskData:
    """Return the digits: float32 pixels in 0..1 of shape (n, 64), 1,000 / 397 / 400 examples.

    Args:
        data_dir: not used, the data come with scikit-learn.

    Example:
        >>> len(load_digits().validation)
        397
    """
    table = _table()
    pixels = torch.from_numpy((table[:, :-1] / MAX_PIXEL).astype(np.float32))
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    return TaskData.of(*(Split(pixels[part], labels[part]) for part in split_indices(SIZES)))


def load_digit_images(data_dir: Path | None = None) -> TaskData:
    """Return the same examples as `load_digits`, in shape (n, 1, 8, 8)."""
    data = load_digits()
    splits = (data.train, data.validation, data.test)
    return TaskData.of(*(Split(split.inputs.view(-1, 1, SIDE, SIDE), split.targets) for split in splits))


def load_digit_pixels(data_dir: Path | None = None) -> TaskData:
    """Return the digits as their own targets, (n, 64), for an autoencoder."""
    data = load_digits()
    return TaskData.of(*(Split(split.inputs, split.inputs) for split in (data.train, data.validation, data.test)))


def _table() -> NDArray[np.float64]:
    """Rows of 64 pixels (0..16) and the label."""
    spec = importlib.util.find_spec("sklearn")
    file = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else None
    if file is not None and file.is_file():
        # 0.03 s instead of 1 s to import sklearn.datasets, in every worker
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits as load_from_sklearn

    pixels, labels = load_from_sklearn(return_X_y=True)
    return np.column_stack([pixels, labels])


DIGITS_MLP = Task(
    name="digits-mlp",
    description="8x8 digits of scikit-learn, 64-32-10 ReLU network",
    family="vision",
    load=load_digits,
    model=MLP((64, 32, 10), "relu"),
    batch_size=64,
    steps=150,
    halving=((25, 4), (75, 2)),
    target=0.95,  # momentum 0.955, adam 0.952, sgd 0.950
)

DIGITS_WIDE = Task(
    name="digits-wide",
    description="8x8 digits of scikit-learn, 64-64-10 ReLU network; smoke test",
    family="vision",
    load=load_digits,
    model=MLP((64, 64, 10), "relu"),
    batch_size=64,
    steps=150,
    halving=((25, 4), (75, 2)),
    target=0.96,  # adam 0.965, momentum 0.960, sgd 0.955
)


def digits_convnet() -> nn.Sequential:
    """Build two 3x3 convolutions of 8 and 16 filters, each with batch norm and ReLU, then a linear classifier."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, CLASSES),
    )  # fmt: skip


DIGITS_CONV = Task(
    name="digits-conv",
    description="8x8 digits of scikit-learn, two 3x3 convolutions with batch norm",
    family="vision",
    load=load_digit_images,
    model=digits_convnet,
    batch_size=32,
    steps=100,
    halving=((17, 4), (50, 2)),
    target=0.965,  # rmsprop 0.967, adam 0.965, sgd 0.962
)


def digits_autoencoder() -> nn.Sequential:
    """Build 64-32-8-32-64 units: tanh between, pixels in 0..1 by a sigmoid."""
    return nn.Sequential(
        nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 8), nn.Tanh(),
        nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 64), nn.Sigmoid(),
    )  # fmt: skip


DIGITS_AUTOENCODER = Task(
    name="digits-autoencoder",
    description="8x8 digits of scikit-learn through 8 units and back, 64-32-8-32-64 tanh network",
    family="autoencoding",
    load=load_digit_pixels,
    model=digits_autoencoder,
    batch_size=64,
    steps=300,
    halving=((50, 4), (150, 2)),
    metric="loss",
    loss=squared_error,
    target=0.029,  # sgd 0.0280, rmsprop 0.0288, momentum 0.0331, adam 0.0365
)
