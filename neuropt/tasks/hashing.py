"""Hashes of data and weights, so that two runs that claim to be equal can show it."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def hash_tensors(*tensors: Tensor) -> str:
    """Return the SHA-256, in hexadecimal, over type, shape and bytes of the tensors in order.

    Example:
        >>> hash_tensors(torch.zeros(2)) == hash_tensors(torch.zeros(1, 2))
        False
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)};".encode())
        digest.update(_bytes(tensor.reshape(-1)).data)
    return digest.hexdigest()


def row_hashes(inputs: Tensor, targets: Tensor) -> set[int]:
    """Return one hash per distinct example, valid within this process only (Python's own hash of the bytes)."""
    rows, answers = (_bytes(x.reshape(len(x), -1)) for x in (inputs, targets))
    return {hash((row.tobytes(), answer.tobytes())) for row, answer in zip(rows, answers, strict=True)}


def _bytes(tensor: Tensor) -> NDArray[np.uint8]:
    if tensor.numel() == 0:
        return np.zeros((*tensor.shape[:-1], 0), np.uint8)
    array: NDArray[np.uint8] = tensor.detach().cpu().contiguous().view(torch.uint8).numpy()
    return array
