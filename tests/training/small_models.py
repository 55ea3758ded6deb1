"""One small task of each family, on random examples: a convolution, one with batch norm, a Transformer, a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from neuropt.tasks.task import MLP, Split, Task, TaskData

CLASSES = 4
TOKENS = 7


def conv() -> nn.Module:
    """A convolution, a pool and a classifier for (2, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, CLASSES)
    )


def batch_norm() -> nn.Module:
    """The same with batch norm, whose running averages are buffers of each child."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(27, CLASSES)
    )


class Transformer(nn.Module):
    """Tokens (n, 6), given as numbers, to classes: embedding, one encoder layer with attention and LayerNorm, mean, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.classifier = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        encoded = self.layer(self.embedding(x.long().clamp(0, TOKENS - 1)))
        logits: Tensor = self.classifier(encoded.mean(1))
        return logits


class _Double(nn.Module):
    """A model in float64 on float32 examples."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x.double())
        return logits


def data_of(shape: tuple[int, ...], scale: float = 1.0) -> TaskData:
    """Random examples: 48, 24 and 24."""
    g = torch.Generator().manual_seed(0)
    return TaskData.of(
        *(
            Split(scale * torch.rand(n, *shape, generator=g), torch.randint(0, CLASSES, (n,), generator=g))
            for n in (48, 24, 24)
        )
    )


def task_of(name: str, model: MLP | Callable[[], nn.Module], data: TaskData, steps: int = 6) -> Task:
    """A task of a few steps with one halving."""
    return Task(name, "for tests", "tests", lambda _: data, model, batch_size=8, steps=steps, halving=((2, 2),))


IMAGES, WORDS, ROWS = data_of((2, 8, 8)), data_of((6,), scale=TOKENS), data_of((12,))
FAMILIES: dict[str, tuple[Callable[[], nn.Module], TaskData]] = {
    "conv": (conv, IMAGES),
    "batch-norm": (batch_norm, IMAGES),
    "transformer": (Transformer, WORDS),
    "mlp": (MLP((12, 5, CLASSES), "tanh").build, ROWS),
}


def family(name: str, double: bool = False) -> tuple[Task, TaskData]:
    """The task of a family, in float64 where asked for, and its data."""
    model, data = FAMILIES[name]
    return task_of(name, (lambda: _Double(model())) if double else model, data), data
