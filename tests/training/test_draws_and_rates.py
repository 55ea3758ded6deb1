"""The random numbers of populations, and the grids of learning rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuropt.training.learning_rates import Grid, learning_rates
from neuropt.training.population_draws import Draws
from search_space import draws

SEEDS = (3, 2**40 + 1)
SEGMENTS = (6, 1, 4)


def rows(dtype: torch.dtype = torch.float64) -> Draws:
    return Draws(SEEDS, SEGMENTS, dtype, torch.device("cpu"))


@pytest.mark.parametrize(("draw", "t"), [(0, 0), (5, 149)])
def test_uniforms_are_those_of_the_language_to_the_bit(draw: int, t: int) -> None:
    found = rows().uniform(draw, t)
    for i, seed in enumerate(SEEDS):
        parts = [draws.uniform(size, seed, parameter, draw, t) for parameter, size in enumerate(SEGMENTS)]
        assert found[i, 0].tolist() == np.concatenate(parts).tolist()


def test_normals_are_those_of_the_language() -> None:
    found = rows().normal(1, 7)
    for i, seed in enumerate(SEEDS):
        parts = [draws.normal(size, seed, parameter, 1, 7) for parameter, size in enumerate(SEGMENTS)]
        # log and cos of two libraries differ by an ulp
        np.testing.assert_allclose(found[i, 0].numpy(), np.concatenate(parts), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_kept_elements_are_all_ones_in_bits(dtype: torch.dtype) -> None:
    source = rows(dtype)
    kept, wanted = source.kept(0, 3, 0.4), source.uniform(0, 3) >= 0.4
    assert torch.equal(kept == -1, wanted)
    assert torch.equal(kept == 0, ~wanted)


def test_rows_are_kept_for_the_next_population() -> None:
    source = rows()
    assert source.normal(0, 0) is source.normal(0, 0)


def test_the_paper_grid() -> None:
    assert learning_rates("paper", scale=123.0) == pytest.approx((1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0))


def test_the_scaled_grid() -> None:
    # half decades from 1e-4 to 1e-1 over the mean update 0.5
    root = 10.0**0.5
    wanted = (2e-4, 2e-4 * root, 2e-3, 2e-3 * root, 2e-2, 2e-2 * root, 2e-1)
    assert learning_rates("scaled", scale=0.5) == pytest.approx(wanted)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
@pytest.mark.parametrize("grid", ["scaled", "paper"])
def test_a_scale_must_be_positive_and_finite(grid: Grid, scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be positive"):
        learning_rates(grid, scale)


def test_an_unknown_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid must be one of scaled, paper, but got 'log'"):
        learning_rates("log", 1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # what a user may type
