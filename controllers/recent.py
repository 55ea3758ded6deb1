"""The newest strings that were proposed, so that they are not proposed again at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class Recent:
    """At most `size` different strings; the oldest is forgotten."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._strings: dict[bytes, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._strings)

    def repeated(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which strings, (n, length), are among them, or stand further up in `tokens`: (n,)."""
        again, here = np.zeros(len(tokens), dtype=np.bool_), set[bytes]()
        for i, row in enumerate(tokens if self._size else []):
            string = row.tobytes()
            again[i] = string in self._strings or string in here
            here.add(string)
        return again

    def add(self, tokens: NDArray[np.int64]) -> None:
        """Remember strings, (n, length)."""
        for row in tokens:
            self._strings[row.tobytes()] = None
        while len(self._strings) > self._size:
            del self._strings[next(iter(self._strings))]

    def state_dict(self) -> dict[str, Any]:
        """Copy them as one tensor, (n, length), the oldest first."""
        rows = np.frombuffer(b"".join(self._strings), dtype=np.int64).reshape(
            len(self._strings), -1 if self._strings else 0
        )
        return {"strings": torch.from_numpy(rows.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace them by a copy made by `state_dict`."""
        self._strings = {}
        self.add(state["strings"].numpy())
