"""The default task: scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import MLP, Split, Task, TaskData

SIZES = (1_000, 397, 400)
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
    description="8x8 digits of scikit-learn, 64-32-10 ReLU network; no download",
    family="vision",
    load=load_digits,
    model=MLP((64, 32, 10), "relu"),
    batch_size=64,
    steps=150,
    halving=((25, 4), (75, 2)),
)
