"""A small Wide ResNet on CIFAR-10: WRN-10-2, one residual block in each of three groups of 32, 64 and 128 filters.

    block(x) = conv3x3(relu(bn(conv3x3(relu(bn(x)))))) + shortcut(x)

Nothing is augmented, so that data of a step depend on its batch alone.
Source: Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from neuropt.tasks.cifar10 import CLASSES, load_cifar10
from neuropt.tasks.task import Task

WIDENING = 2


class Block(nn.Module):
    """A residual block with norm and ReLU before each convolution."""

    def __init__(self, inputs: int, filters: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(filters)
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, filters, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is learnt on top of the shortcut, and the shortcut."""
        active = functional.relu(self.norm1(x))
        learnt: Tensor = self.conv2(functional.relu(self.norm2(self.conv1(active))))
        shortcut: Tensor = self.shortcut(active)
        return learnt + shortcut


def wide_resnet() -> nn.Sequential:
    """Build the network; 303,706 parameters."""
    widths = [16, *(WIDENING * filters for filters in (16, 32, 64))]
    return nn.Sequential(
        nn.Conv2d(3, widths[0], 3, padding=1, bias=False),
        Block(widths[0], widths[1], 1), Block(widths[1], widths[2], 2), Block(widths[2], widths[3], 2),
        nn.BatchNorm2d(widths[3]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(widths[3], CLASSES),
    )  # fmt: skip


CIFAR10_WIDERESNET = Task(
    name="cifar10-wideresnet",
    description="CIFAR-10, Wide ResNet of 10 layers and twice the width, 2 epochs",
    family="vision",
    load=load_cifar10,
    model=wide_resnet,
    batch_size=128,
    steps=700,
    halving=((100, 1),),
    target=0.62,  # one child of adam at its default lr: 0.6252 (docs/tasks.md)
    download="CIFAR-10, 162 MB",
)
