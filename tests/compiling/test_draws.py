"""Random numbers in torch are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuropt.compiling import draws
from search_space import draws as reference

SEEDS = [0, 1, 2**32, 2**63 + 12345, 2**64 - 1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("parameter", "draw", "t"), [(0, 0, 0), (3, 1, 999), (2**31, 999, 10**6)])
def test_uniforms_are_the_same_to_the_last_bit(seed: int, parameter: int, draw: int, t: int) -> None:
    got = draws.uniform(1000, seed, parameter, draw, t, 1).numpy()
    assert np.array_equal(got, reference.uniform(1000, seed, parameter, draw, t, 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_normals_are_the_same(seed: int) -> None:
    got = draws.normal(1000, seed, 2, 1, 7).numpy()
    # 1e-14: log and cos of two libraries, one ulp of numbers up to 7
    np.testing.assert_allclose(got, reference.normal(1000, seed, 2, 1, 7), rtol=1e-13, atol=1e-14)


def test_keys_may_be_tensors() -> None:
    pairs = [reference.keys(seed, 0, 0, 5, 0) for seed in (1, 2)]
    keys = torch.tensor(pairs).unsqueeze(-1)  # (rows, 2, 1)
    rows = draws.uniform_from_keys(torch.arange(9), keys[:, 0], keys[:, 1])
    assert np.array_equal(rows.numpy(), [reference.uniform(9, seed, 0, 0, 5) for seed in (1, 2)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_drawn_tensor_is_like_its_parameter(dtype: torch.dtype) -> None:
    w = torch.zeros(3, 4, dtype=dtype).t()
    drawn = draws.drawn_like(w, "drop", 1, 2, 3, 4)
    assert (drawn.shape, drawn.dtype) == (w.shape, dtype)
    assert np.array_equal(drawn.flatten().numpy(), reference.uniform(12, 1, 2, 3, 4).astype(drawn.numpy().dtype))
