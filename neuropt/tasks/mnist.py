"""MNIST: the 20-unit sigmoid network of "Learning to learn by gradient descent by gradient descent", and LeNet; Fashion-MNIST too.

Sources: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998; Xiao, Rasul, Vollgraf,
"Fashion-MNIST", 2017, whose files have the same names and layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuropt.tasks.downloads import DataError, RemoteFile, download, find_local
from neuropt.tasks.idx import read_idx
from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import MLP, Split, Task, TaskData

MNIST = "mnist"
FASHION = "fashion-mnist"
HOMES = {
    MNIST: ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    FASHION: (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}
FOLDERS = {MNIST: ("mnist", "MNIST/raw", "."), FASHION: ("fashion-mnist", "FashionMNIST/raw")}
"""The second are torchvision's. A folder without a name can only be MNIST's, since the files have the same names."""
SHA256 = {
    MNIST: {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    FASHION: {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}
TRAIN, VALIDATION, TEST = 54_000, 6_000, 10_000
SIDE = 28
CLASSES = 10


def load_mnist_rows(data_dir: Path | None) -> TaskData:
    """Return MNIST with images as rows: float32 in 0..1, shape (n, 784), 54,000 / 6,000 / 10,000 examples.

    Raises:
        DataError: when a file is absent and can not be downloaded, or is damaged.
    """
    return _load(MNIST, data_dir, (SIDE * SIDE,))


def load_mnist_images(data_dir: Path | None) -> TaskData:
    """Return the same examples as `load_mnist_rows`, in shape (n, 1, 28, 28)."""
    return _load(MNIST, data_dir, (1, SIDE, SIDE))


def load_fashion_images(data_dir: Path | None) -> TaskData:
    """Return Fashion-MNIST in the same shape: 54,000 / 6,000 / 10,000 pieces of clothing of ten kinds.

    Raises:
        DataError: when a file is absent and can not be downloaded, or is damaged.
    """
    return _load(FASHION, data_dir, (1, SIDE, SIDE))


def _load(which: str, data_dir: Path | None, shape: tuple[int, ...]) -> TaskData:
    images, labels = _images_and_labels(which, "train", TRAIN + VALIDATION, data_dir)
    test_images, test_labels = _images_and_labels(which, "t10k", TEST, data_dir)
    parts = split_indices((TRAIN, VALIDATION))
    train, validation = (_split(images[part], labels[part], shape) for part in parts)
    return TaskData.of(train, validation, _split(test_images, test_labels, shape))


def _split(images: NDArray[np.uint8], labels: NDArray[np.uint8], shape: tuple[int, ...]) -> Split:
    pixels = torch.tensor(images, dtype=torch.float32).div_(255).view(len(images), *shape)
    return Split(pixels, torch.tensor(labels, dtype=torch.int64))


def _images_and_labels(
    which: str, part: str, count: int, data_dir: Path | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images = read_idx(_file(which, f"{part}-images-idx3-ubyte.gz", data_dir), (count, SIDE, SIDE))
    path = _file(which, f"{part}-labels-idx1-ubyte.gz", data_dir)
    labels = read_idx(path, (count,))
    if labels.max() >= CLASSES:
        raise DataError(f"{path} must hold labels 0 to 9, but holds {labels.max()}; replace the file.")
    return images, labels


def _file(which: str, name: str, data_dir: Path | None) -> Path:
    candidates = [f"{folder}/{form}" for folder in FOLDERS[which] for form in (name, name.removesuffix(".gz"))]
    local = find_local(data_dir, candidates)
    if local is not None:
        return local
    remote = RemoteFile(which, name, tuple(home + name for home in HOMES[which]), SHA256[which][name])
    return download(remote, data_dir, candidates)


def lenet() -> nn.Sequential:
    """Build LeNet-5 with ReLU and max pooling: two 5x5 convolutions (6, 16 filters), then 120-84-10 units; 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, CLASSES),
    )  # fmt: skip


MNIST_MLP = Task(
    name="mnist-mlp",
    description="MNIST, 784-20-10 sigmoid network of learning-to-learn",
    family="vision",
    load=load_mnist_rows,
    model=MLP((SIDE * SIDE, 20, CLASSES), "sigmoid"),
    batch_size=128,
    steps=100,
    halving=((20, 4), (50, 2)),
    target=0.9,  # adam 0.9003, rmsprop 0.899, momentum 0.889, sgd 0.878
    download="MNIST, 11 MB",
)

MNIST_LENET = Task(
    name="mnist-lenet",
    description="MNIST, LeNet-5 convolutional network",
    family="vision",
    load=load_mnist_images,
    model=lenet,
    batch_size=128,
    steps=200,
    halving=((25, 4), (75, 2)),
    target=0.97,  # adam 0.9735, sgd 0.948, of a smaller tuning (docs/tasks.md)
    download="MNIST, 11 MB",
)

FASHION_MNIST_LENET = Task(
    name="fashion-mnist-lenet",
    description="Fashion-MNIST, LeNet-5 convolutional network",
    family="vision",
    load=load_fashion_images,
    model=lenet,
    batch_size=128,
    steps=200,
    halving=((25, 4), (75, 2)),
    target=0.82,  # adam 0.8255, sgd 0.7292, of a smaller tuning (docs/tasks.md)
    download="Fashion-MNIST, 31 MB",
)
