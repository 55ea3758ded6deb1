"""Small tensors side by side in one flat piece of memory, so that one call updates all of them.

    copied = gathered([g1, g2, g3], 1, ...)        elements of g1, then g2, then g3, in a row
    copied.put_back([w1, w2, w3])                  and the other way round

The memory is kept from step to step: `PIECE` elements for each slot (the parameters, the gradients, each remembered value), whatever
the size of the model. Each thread has its own.
"""

# torch documents its _foreach_ functions but leaves them out of __all__:
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from threading import get_ident

import torch
from torch import Tensor

SMALL = {"cpu": 1 << 12}
"""Tensors of at most so many elements are gathered, by type of device."""
PIECE = {"cpu": 1 << 16}
"""Elements of a piece, at most: on a CPU a few slots fit into a core's cache."""
SMALL_ELSEWHERE, PIECE_ELSEWHERE = 1 << 16, 1 << 20
"""On a GPU, where a call costs as much as moving many more elements."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Memory of one slot.

    Args:
        row: the elements of all tensors, flat.
        views: the same memory, in the shapes of the tensors.
    """

    row: Tensor
    views: list[Tensor]

    def put_back(self, tensors: list[Tensor]) -> None:
        """Copy the elements into tensors of the shapes that were gathered."""
        torch._foreach_copy_(tensors, self.views)


def small(device: torch.device) -> int:
    """Return the size up to which tensors are gathered."""
    return SMALL.get(device.type, SMALL_ELSEWHERE)


def largest(device: torch.device) -> int:
    """Return how many elements a piece holds."""
    return PIECE.get(device.type, PIECE_ELSEWHERE)


def gathered(tensors: list[Tensor], shapes: tuple[torch.Size, ...], slot: int, dtype: torch.dtype) -> Piece:
    """Copy tensors into the memory of a slot, of one dtype, and return it; it holds them until the slot is used again.

    Args:
        shapes: of the parameters that the tensors belong to.
    """
    piece = _piece(shapes, slot, dtype, tensors[0].device, get_ident())
    torch._foreach_copy_(piece.views, tensors)
    return piece


@lru_cache(maxsize=4096)
def _piece(shapes: tuple[torch.Size, ...], slot: int, dtype: torch.dtype, device: torch.device, thread: int) -> Piece:
    sizes = [shape.numel() for shape in shapes]
    row = _memory(slot, dtype, device, thread)[: sum(sizes)]
    return Piece(row, [x.view(shape) for x, shape in zip(row.split(sizes), shapes, strict=True)])


@lru_cache(maxsize=256)
def _memory(slot: int, dtype: torch.dtype, device: torch.device, thread: int) -> Tensor:
    return torch.empty(largest(device), dtype=dtype, device=device)
