"""The random numbers of `noise` and `drop` for populations: one row a seed, shared by all its children, kept for the next population.

They are a function of (seed, parameter, draw, t, element) alone, not of the rule, so that all children of a seed read the same row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from neuropt.compiling.draws import normal_from_uniforms, uniform_from_keys
from neuropt.training.devices import sent
from search_space.draws import keys

KEPT_BYTES = 192 * 2**20
"""Drawn numbers kept for later populations; then all are forgotten."""


class Draws:
    """Random rows (seeds, 1, P) in a dtype on a device, by (draw, t).

    Args:
        seeds: one a row.
        segments: the sizes of the parameter tensors that make up P.
    """

    def __init__(
        self, seeds: tuple[int, ...], segments: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.seeds, self.segments = seeds, segments
        self.dtype, self.device = dtype, device
        self.element = torch.cat([torch.arange(n, dtype=torch.int64, device=device) for n in segments])
        self.parameter = torch.cat([torch.full((n,), i, device=device) for i, n in enumerate(segments)])
        self.kept_rows: dict[tuple[object, ...], Tensor] = {}
        self.bytes = 0

    def _keep(self, key: tuple[object, ...], make: Callable[[], Tensor]) -> Tensor:
        if key not in self.kept_rows:
            row = make()
            self.bytes += row.nbytes
            if self.bytes > KEPT_BYTES:
                self.kept_rows.clear()
                self.bytes = row.nbytes
            self.kept_rows[key] = row
        return self.kept_rows[key]

    def _uniform64(self, draw: int, t: int, stream: int) -> Tensor:
        rows = []
        for seed in self.seeds:
            pairs = [keys(seed, parameter, draw, t, stream) for parameter in range(len(self.segments))]
            key_0, key_1 = (sent(torch.tensor(k, dtype=torch.int64), self.device) for k in zip(*pairs, strict=True))
            rows.append(uniform_from_keys(self.element, key_0[self.parameter], key_1[self.parameter]))
        return torch.stack(rows).unsqueeze(1)

    def uniform(self, draw: int, t: int) -> Tensor:
        """Return uniform numbers in (0, 1)."""
        return self._keep(("uniform", draw, t), lambda: self._uniform64(draw, t, 0).to(self.dtype))

    def normal(self, draw: int, t: int) -> Tensor:
        """Return standard normal numbers."""
        return self._keep(
            ("normal", draw, t),
            lambda: normal_from_uniforms(self._uniform64(draw, t, 0), self._uniform64(draw, t, 1)).to(self.dtype),
        )

    def kept(self, draw: int, t: int, p: float) -> Tensor:
        """Return, as integers of the dtype's width, all ones where `drop(x, p)` keeps an element and 0 where it does not."""
        bits = torch.int32 if self.dtype == torch.float32 else torch.int64
        return self._keep(("kept", draw, t, p), lambda: (self.uniform(draw, t) >= p).to(bits).neg_())


@lru_cache(maxsize=4)
def shared_draws(seeds: tuple[int, ...], segments: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Draws:
    """Return the `Draws` of these seeds and shapes; populations one after another share it."""
    return Draws(seeds, segments, dtype, device)
