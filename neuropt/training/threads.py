"""One thread for small tensors: two threads on two busy cores are 10-20 times slower than one, and the last bits depend on their number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

CHILD_THREADS = 1
"""Threads that a child is trained with."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread meanwhile, and as many as before afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(CHILD_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
