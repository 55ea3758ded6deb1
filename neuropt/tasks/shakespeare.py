"""Characters of all of "tiny shakespeare": 1.1 million, to a Transformer that is four times as wide as the one of `characters`.

Source: Karpathy, char-rnn, 2015; the plays are in the public domain.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from neuropt.tasks.characters import CharTransformer, windows
from neuropt.tasks.downloads import DataError, RemoteFile, download, find_local
from neuropt.tasks.task import Task, TaskData

FILE = RemoteFile(
    "shakespeare",
    "input.txt",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
CANDIDATES = ("text/tinyshakespeare.txt", "shakespeare/input.txt", "tinyshakespeare.txt", "input.txt")
ALPHABET, LENGTH = 65, 64


def load_shakespeare(data_dir: Path | None) -> TaskData:
    """Return windows of 64 characters, int64: 13,942 / 1,742 / 1,744 examples.

    Raises:
        DataError: when the file is absent and can not be downloaded, or is another one.
    """
    path = find_local(data_dir, CANDIDATES) or download(FILE, data_dir, CANDIDATES)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can not be read: {error}; replace the file with {FILE.urls[0]}.") from error
    found = hashlib.sha256(text).hexdigest()
    if found != FILE.sha256:
        raise DataError(
            f"{path} must have SHA-256 {FILE.sha256}, but has {found}; replace the file with {FILE.urls[0]}."
        )
    return windows(text, LENGTH)


def shakespeare_transformer() -> CharTransformer:
    """Build the Transformer: two layers of width 128, four heads."""
    return CharTransformer(ALPHABET, LENGTH, 128, 4, 2)


SHAKESPEARE_TRANSFORMER = Task(
    name="shakespeare-transformer",
    description="next character of tiny shakespeare, Transformer of two layers of width 128",
    family="text",
    load=load_shakespeare,
    model=shakespeare_transformer,
    batch_size=32,
    steps=1_000,
    halving=((100, 2),),
    metric="loss",
    target=1.75,  # one child of adam at its default lr: 1.745 (docs/tasks.md)
    download="tiny shakespeare, 1.1 MB",
)
