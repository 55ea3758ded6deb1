"""Smoke tests on scikit-learn's bundled tables: good optimizers all come to about the same accuracy here.

Columns have very different scales, so they are standardised by the training examples: z = (x - mean) / std.
Sources: Wolberg, Street and Mangasarian, Breast Cancer Wisconsin (Diagnostic), 1995; Aeberhard and Forina, Wine, 1991; both UCI, CC BY 4.0.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch

from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import MLP, Split, Task, TaskData

GRID = 1024.0
"""Columns are multiples of 1/1024, the same on every machine whatever the last bits of its sums are."""


def load_breast_cancer(data_dir: Path | None = None) -> TaskData:
    """Return 30 measurements of 569 tumours, malignant (0) or benign (1): 341 / 114 / 114 examples.

    Args:
        data_dir: not used, the data come with scikit-learn.

    Example:
        >>> load_breast_cancer().train.inputs.shape
        torch.Size([341, 30])
    """
    return _load("breast_cancer.csv", (341, 114, 114))


def load_wine(data_dir: Path | None = None) -> TaskData:
    """Return 13 measurements of 178 wines of three cultivars: 106 / 36 / 36 examples.

    Args:
        data_dir: not used, the data come with scikit-learn.

    Example:
        >>> load_wine().train.inputs.shape
        torch.Size([106, 13])
    """
    return _load("wine_data.csv", (106, 36, 36))


def _load(name: str, sizes: tuple[int, ...]) -> TaskData:
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None  # a dependency
    table = np.loadtxt(Path(spec.origin or "").parent / "datasets" / "data" / name, delimiter=",", skiprows=1)
    parts = split_indices(sizes)
    known = table[parts[0], :-1]
    columns = np.rint((table[:, :-1] - known.mean(0)) / known.std(0) * GRID) / GRID
    inputs = torch.from_numpy(columns.astype(np.float32))
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    return TaskData.of(*(Split(inputs[part], labels[part]) for part in parts))


BREAST_CANCER_LOGISTIC = Task(
    name="breast-cancer-logistic",
    description="malignant or benign from 30 measurements, logistic regression; smoke test",
    family="tabular",
    load=load_breast_cancer,
    model=MLP((30, 2)),
    batch_size=32,
    steps=100,
    halving=((17, 4), (50, 2)),
    target=0.98,  # sgd and momentum 0.991, adam 0.982
)

WINE_MLP = Task(
    name="wine-mlp",
    description="cultivar of a wine from 13 measurements, 13-16-3 ReLU network; smoke test",
    family="tabular",
    load=load_wine,
    model=MLP((13, 16, 3), "relu"),
    batch_size=16,
    steps=100,
    halving=((17, 4), (50, 2)),
    target=0.97,  # sgd, momentum, adam and rmsprop 0.972
)
