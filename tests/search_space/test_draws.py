from __future__ import annotations

import numpy as np
import pytest

from search_space import draws, parse_rule, run

COUNT = 200_000
# five standard errors of the mean of COUNT uniforms (std 1/sqrt(12)) and normals (std 1)
UNIFORM_ERROR, NORMAL_ERROR = 5 * 0.2887 / COUNT**0.5, 5 / COUNT**0.5

# computed once; every compiled, exported or re-implemented form must give these
GOLDEN_MIX = [0, 1753845952, 3507691905, 1734902346]
GOLDEN_KEYS = (99832085, 621767612)
GOLDEN_BITS = [3670814241, 2694285296, 1100759828, 210983590]


def test_golden_integers() -> None:
    assert [draws.mix(x) for x in (0, 1, 2, 0xFFFFFFFF)] == GOLDEN_MIX
    assert draws.keys(7, 1, 2, 3, 0) == GOLDEN_KEYS
    bits = draws.uniform(4, 7, 1, 2, 3) * 2.0**32 - 0.5
    assert bits.astype(np.int64).tolist() == GOLDEN_BITS


def test_uniforms_are_uniform() -> None:
    x = draws.uniform(COUNT, 1, 0, 0, 0)
    assert 0.0 < x.min() < x.max() < 1.0
    assert abs(x.mean() - 0.5) < UNIFORM_ERROR
    counts, _ = np.histogram(x, bins=50, range=(0.0, 1.0))
    chi_squared = float(np.sum((counts - COUNT / 50) ** 2) / (COUNT / 50))
    assert chi_squared < 99.0  # 49 degrees of freedom: one in 30,000


def test_normals_are_normal() -> None:
    x = draws.normal(COUNT, 1, 0, 0, 0)
    assert abs(x.mean()) < NORMAL_ERROR
    assert abs(x.std() - 1.0) < NORMAL_ERROR
    assert abs((x**3).mean()) < 5 * (15 / COUNT) ** 0.5
    assert abs((x**4).mean() - 3.0) < 5 * (96 / COUNT) ** 0.5
    assert abs((np.abs(x) < 1.0).mean() - 0.6827) < 5 * (0.6827 * 0.3173 / COUNT) ** 0.5


@pytest.mark.parametrize("other", [(2, 0, 0, 0), (1 << 32, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)])
def test_seeds_parameters_draws_and_steps_are_independent(other: tuple[int, int, int, int]) -> None:
    x, y = draws.normal(COUNT, 1, 0, 0, 0), draws.normal(COUNT, *other)
    assert abs(float(np.mean(x * y))) < NORMAL_ERROR


def test_neighbouring_elements_are_independent() -> None:
    x = draws.uniform(COUNT, 1, 0, 0, 0) - 0.5
    assert abs(float(np.mean(x[1:] * x[:-1]))) < UNIFORM_ERROR


def test_shorter_tensors_see_the_same_numbers() -> None:
    np.testing.assert_array_equal(draws.uniform(10, 3, 1, 0, 5), draws.uniform(100, 3, 1, 0, 5)[:10])


def test_interpreter_draws_each_occurrence_anew_and_repeats_with_its_seed() -> None:
    gradients, start = np.ones((3, 1000)), np.zeros(1000)
    rule = parse_rule("noise(1) - noise(1)")
    first = run(rule, gradients, start, lr=1.0, seed=5)
    np.testing.assert_array_equal(first, run(rule, gradients, start, lr=1.0, seed=5))
    assert np.abs(first).min() > 0.0  # the two do not cancel
    assert not np.allclose(first, run(rule, gradients, start, lr=1.0, seed=6))
    assert not np.allclose(first, run(rule, gradients, start, lr=1.0, seed=5, parameter=1))


def test_a_draw_read_twice_is_one_draw() -> None:
    gradients, start = np.ones((3, 10)), np.zeros(10)
    path = run(parse_rule("a = noise(1) + 0 * g; u = a - a"), gradients, start, lr=1.0)
    np.testing.assert_array_equal(path, np.zeros((3, 10)))


def test_drop_sets_to_zero_without_rescaling() -> None:
    path = run(parse_rule("drop(g, 0.3)"), np.full((1, COUNT), 2.0), np.zeros(COUNT), lr=-1.0)
    assert set(np.unique(path)) == {0.0, 2.0}
    assert abs(float((path == 0.0).mean()) - 0.3) < 5 * (0.21 / COUNT) ** 0.5
