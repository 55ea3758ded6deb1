"""Image regression: the colours of a picture as a function of the place, learnt from half of its pixels, with Fourier features.

    features(x, y) = [sin(2 pi b_k . (x, y)), cos(2 pi b_k . (x, y))]   for 48 fixed frequencies b_k, normal with deviation 2

The frequencies do not depend on a seed and are not trained, so the features are the data. The picture is scikit-learn's `china.jpg` by
danielbuechele (CC BY 2.0), its middle square averaged to 48x48, which comes with the package, so that no JPEG is decoded.
Source: Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains", 2020.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuropt.tasks.metrics import squared_error
from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import Split, Task, TaskData
from search_space import draws

PICTURE = Path(__file__).parent / "data" / "china-48.ppm"
SIDE = 48
SIZES = (1_152, 576, 576)
FREQUENCIES, DEVIATION = 48, 2.0
GRID = 1024.0
"""Features are multiples of 1/1024, the same on every machine whatever the last bits of its sines are."""
SEED = 48_48_2


def load_picture(data_dir: Path | None = None) -> TaskData:
    """Return pixels: inputs are features of the place (n, 96), targets red, green and blue in 0..1, (n, 3); 1,152 / 576 / 576 examples.

    Args:
        data_dir: not used, the picture comes with the package.

    Example:
        >>> load_picture().train.targets.shape
        torch.Size([1152, 3])
    """
    inputs = torch.from_numpy(_features())
    colours = torch.from_numpy(_pixels().reshape(-1, 3).astype(np.float32) / 255)
    return TaskData.of(*(Split(inputs[part], colours[part]) for part in split_indices(SIZES)))


def _pixels() -> NDArray[np.uint8]:
    """Read a binary PPM: a head in text, then three bytes a pixel, row by row."""
    return np.frombuffer(PICTURE.read_bytes()[-SIDE * SIDE * 3 :], np.uint8)


def _features() -> NDArray[np.float32]:
    places = np.stack(np.meshgrid(*(2 * [(np.arange(SIDE) + 0.5) / SIDE]), indexing="ij"), -1).reshape(-1, 2)
    b = DEVIATION * draws.normal(2 * FREQUENCIES, SEED, 0, 0, 0).reshape(2, FREQUENCIES)
    angles = 2 * np.pi * (places[:, :1] * b[0] + places[:, 1:] * b[1])
    found = np.rint(np.concatenate([np.sin(angles), np.cos(angles)], axis=1) * GRID) / GRID
    return found.astype(np.float32)


def picture_network() -> nn.Sequential:
    """Build 96-64-64-3 units: ReLU between, colours in 0..1 by a sigmoid."""
    return nn.Sequential(
        nn.Linear(2 * FREQUENCIES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3), nn.Sigmoid()
    )


PICTURE_FOURIER = Task(
    name="picture-fourier",
    description="colours of a 48x48 picture from half of its pixels, Fourier features and a 96-64-64-3 network",
    family="vision",
    load=load_picture,
    model=picture_network,
    batch_size=64,
    steps=300,
    halving=((50, 4), (150, 2)),
    metric="loss",
    loss=squared_error,
    target=0.0048,  # adam 0.00466, momentum 0.00475, rmsprop 0.00499, sgd 0.00534
)
