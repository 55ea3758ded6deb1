"""Characters of a text: tasks that guess the next character at each place, by a GRU and by a Transformer.

A text becomes windows of LENGTH + 1 characters of which neighbours share one: inputs are all but the last, targets all but the first, as
numbers in the sorted alphabet. The first 80 % of the windows are trained on, the next 10 % validate, the last 10 % test. The metric is the
loss, in nats a character. The text that comes with the package is the end of "tiny shakespeare" (Karpathy 2015): scenes of "The Taming of
the Shrew" and "The Tempest", in the public domain.
Sources: Cho et al. 2014 (GRU); Vaswani et al. 2017 (Transformer), with the norm before each block as in GPT-2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from neuropt.tasks.task import Split, Task, TaskData

EXCERPT = Path(__file__).parent / "data" / "shakespeare-excerpt.txt"
ALPHABET = 60
"""Different characters of the excerpt."""
LENGTH = 32
SHARES = (0.8, 0.1)
"""Of the windows, to train and to validate."""


def load_excerpt(data_dir: Path | None = None) -> TaskData:
    """Return the windows of 32 characters of the package's own text: int64, 1,625 / 203 / 204 examples.

    Args:
        data_dir: not used, the text comes with the package.

    Example:
        >>> load_excerpt().train.inputs.shape
        torch.Size([1625, 32])
    """
    return windows(EXCERPT.read_bytes(), LENGTH)


def windows(text: bytes, length: int) -> TaskData:
    """Return a text as windows of so many characters and the characters after them, in its own sorted alphabet.

    Example:
        >>> windows(bytes(range(100)), 3).train.targets[:2].tolist()
        [[1, 2, 3], [4, 5, 6]]
    """
    _, numbers = np.unique(np.frombuffer(text, np.uint8), return_inverse=True)
    count = (len(numbers) - 1) // length
    inputs, targets = (
        torch.from_numpy(numbers[i:][: count * length].astype(np.int64)).view(-1, length) for i in (0, 1)
    )
    train, validation = (int(share * count) for share in SHARES)
    bounds = ((0, train), (train, train + validation), (train + validation, count))
    return TaskData.of(*(Split(inputs[first:last], targets[first:last]) for first, last in bounds))


class CharGRU(nn.Module):
    """An embedding, a GRU and a classifier at each place."""

    def __init__(self, alphabet: int, width: int) -> None:
        super().__init__()
        self.embedding = _embedding(alphabet, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.classifier = nn.Linear(width, alphabet)

    def forward(self, characters: Tensor) -> Tensor:
        """Return logits (n, length, alphabet) of numbers (n, length)."""
        logits: Tensor = self.classifier(self.gru(self.embedding(characters))[0])
        return logits


class CharTransformer(nn.Module):
    """Embeddings of characters and places, encoder layers that look back only, a norm and a classifier at each place; no dropout."""

    mask: Tensor

    def __init__(self, alphabet: int, length: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.embedding, self.places = _embedding(alphabet, width), _embedding(length, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, alphabet)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, characters: Tensor) -> Tensor:
        """Return logits (n, length, alphabet) of numbers (n, length)."""
        x = self.embedding(characters) + self.places.weight
        for layer in self.layers:
            x = layer(x, src_mask=self.mask, is_causal=True)
        logits: Tensor = self.classifier(self.norm(x))
        return logits


def _embedding(count: int, width: int) -> nn.Embedding:
    """Return an embedding with even instead of normal entries, whose last bits are the same on every machine."""
    embedding = nn.Embedding(count, width)
    nn.init.uniform_(embedding.weight, -0.1, 0.1)
    return embedding


def char_gru() -> CharGRU:
    """Build the GRU of 64 units."""
    return CharGRU(ALPHABET, 64)


def char_transformer() -> CharTransformer:
    """Build the Transformer: two layers of width 32, two heads."""
    return CharTransformer(ALPHABET, LENGTH, 32, 2, 2)


CHAR_GRU = Task(
    name="char-gru",
    description="next character of 65,000 of Shakespeare, GRU of 64 units",
    family="text",
    load=load_excerpt,
    model=char_gru,
    batch_size=16,
    steps=150,
    halving=((25, 4), (75, 2)),
    metric="loss",
    target=2.16,  # rmsprop 2.140, adam 2.165, momentum 2.263, sgd 2.395
)

CHAR_TRANSFORMER = Task(
    name="char-transformer",
    description="next character of 65,000 of Shakespeare, Transformer of two layers of width 32",
    family="text",
    load=load_excerpt,
    model=char_transformer,
    batch_size=16,
    steps=150,
    halving=((25, 4), (75, 2)),
    metric="loss",
    target=2.56,  # adam 2.547, rmsprop 2.562, momentum 2.597, sgd 2.650
)
