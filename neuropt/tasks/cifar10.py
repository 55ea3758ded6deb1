"""CIFAR-10 with the small convolutional child of the Neural Optimizer Search paper.

Sources: Krizhevsky, "Learning multiple layers of features from tiny images", 2009 (the data and their binary layout: a record is one
label byte and 3,072 pixel bytes, channel by channel); Bello et al., ICML 2017 (the child).
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuropt.tasks.downloads import DataError, RemoteFile, download, find_local
from neuropt.tasks.splitting import split_indices
from neuropt.tasks.task import Split, Task, TaskData

ARCHIVE = RemoteFile(
    "cifar10",
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
LAYOUT = "cifar-10-batches-bin"
FOLDERS = (LAYOUT, f"cifar10/{LAYOUT}", ".")
ARCHIVES = (ARCHIVE.name, f"cifar10/{ARCHIVE.name}")
FILES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")
RECORDS = 10_000
RECORD = 1 + 3 * 32 * 32
TRAIN, VALIDATION = 45_000, 5_000
CLASSES = 10
MEAN = (0.4914, 0.4822, 0.4465)  # of the 50,000 training images, in 0..1
STD = (0.2470, 0.2435, 0.2616)


def load_cifar10(data_dir: Path | None) -> TaskData:
    """Return CIFAR-10: float32, standardised by channel, shape (n, 3, 32, 32), 45,000 / 5,000 / 10,000 examples.

    Raises:
        DataError: when the files are absent and can not be downloaded, or are damaged.
    """
    *batches, test = [_records(path, data) for path, data in _contents(data_dir)]
    official = np.concatenate(batches)
    train, validation = (_split(official[part]) for part in split_indices((TRAIN, VALIDATION)))
    return TaskData.of(train, validation, _split(test))


def _split(records: NDArray[np.uint8]) -> Split:
    pixels = torch.tensor(records[:, 1:], dtype=torch.float32).view(-1, 3, 32, 32)
    pixels.div_(255).sub_(torch.tensor(MEAN).view(3, 1, 1)).div_(torch.tensor(STD).view(3, 1, 1))
    return Split(pixels, torch.tensor(records[:, 0], dtype=torch.int64))


def _records(path: str, data: bytes) -> NDArray[np.uint8]:
    if len(data) != RECORDS * RECORD:
        raise DataError(
            f"{path} must hold {RECORDS:,} records of {RECORD:,} bytes, {RECORDS * RECORD:,} in all, "
            f"but holds {len(data):,} or more; replace the file with the official one."
        )
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise DataError(f"{path} must hold labels 0 to 9, but holds {records[:, 0].max()}; replace the file.")
    return records


def _contents(data_dir: Path | None) -> list[tuple[str, bytes]]:
    """(path, bytes) of the six files, at most one byte more than each should hold."""
    for folder in FOLDERS:
        if find_local(data_dir, [f"{folder}/{FILES[0]}"]) and data_dir is not None:
            return [_file_content(data_dir / folder / name) for name in FILES]
    candidates = [f"{folder}/{FILES[0]}" for folder in FOLDERS] + list(ARCHIVES)
    return _archive_contents(find_local(data_dir, ARCHIVES) or download(ARCHIVE, data_dir, candidates))


def _file_content(path: Path) -> tuple[str, bytes]:
    try:
        with path.open("rb") as file:
            return str(path), file.read(RECORDS * RECORD + 1)
    except OSError as error:
        raise DataError(f"{path} can not be read: {error}; all of {', '.join(FILES)} are needed.") from error


def _archive_contents(path: Path) -> list[tuple[str, bytes]]:
    # read in memory, nothing is unpacked to disk: a member's path in a foreign archive can do no harm
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                content = archive.extractfile(member) if name in FILES and member.isfile() else None
                if content is not None:
                    found[name] = content.read(RECORDS * RECORD + 1)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path} can not be read: {type(error).__name__}: {error}; replace the file.") from error
    missing = [name for name in FILES if name not in found]
    if missing:
        raise DataError(f"{path} must contain {', '.join(missing)}, but does not; replace it with {ARCHIVE.urls[0]}.")
    return [(f"{path}:{name}", found[name]) for name in FILES]


def convnet() -> nn.Sequential:
    """Build the paper's child: two 3x3 convolutions of 32 filters, each with ReLU and batch norm, then a linear classifier.

    The paper does not say how the maps shrink before the classifier; here each convolution has stride 2, which is four to five times
    faster on a CPU than pooling after it (10 ms against 40 to 60 ms a step of 100).
    """
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.BatchNorm2d(32),
        nn.Flatten(),
        nn.Linear(32 * 8 * 8, CLASSES),
    )  # fmt: skip


CIFAR10_CONVNET = Task(
    name="cifar10-convnet",
    description="CIFAR-10, the paper's child: two 3x3 convolutions of 32 filters, 5 epochs",
    family="vision",
    load=load_cifar10,
    model=convnet,
    batch_size=100,
    steps=2_250,
    halving=((100, 1),),  # the paper's short epoch of 10,000 examples, which chooses the learning rate
    target=0.64,  # adam 0.6470, sgd 0.6378, of a smaller tuning (docs/tasks.md)
    download="CIFAR-10, 162 MB",
)
