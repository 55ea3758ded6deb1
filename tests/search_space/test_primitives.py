from __future__ import annotations

import math

import numpy as np
import pytest

from search_space.primitives import COMMUTATIVE, PRIMITIVES

nan, inf = math.nan, math.inf
X = np.array([-2.0, 0.0, 3.0])
Y = np.array([2.0, -1.0, 3.0])

# worked by hand, on x = [-2, 0, 3], y = [2, -1, 3] and a third argument where there is one
EXPECTED: dict[str, tuple[tuple[object, ...], list[float]]] = {
    "+": ((X, Y), [0, -1, 6]),
    "-": ((X, Y), [-4, 1, 0]),
    "*": ((X, Y), [-4, 0, 9]),
    "/": ((X, Y), [-1, 0, 1]),
    "neg": ((X,), [2, 0, -3]),
    "**": ((X, Y), [4, inf, 27]),  # 0 ** -1
    "<": ((X, Y), [1, 0, 0]),
    "<=": ((X, Y), [1, 0, 1]),
    ">": ((X, Y), [0, 1, 0]),
    ">=": ((X, Y), [0, 1, 1]),
    "==": ((X, Y), [0, 0, 1]),
    "!=": ((X, Y), [1, 1, 0]),
    "abs": ((X,), [2, 0, 3]),
    "sign": ((X,), [-1, 0, 1]),
    "exp": ((X,), [0.1353352832366127, 1, 20.085536923187668]),
    "log": ((X,), [nan, -inf, 1.0986122886681098]),
    "log_abs": ((X,), [0.6931471805599453, -27.631021115928547, 1.0986122886681098]),  # log(1e-12) for 0
    "sqrt": ((X,), [nan, 0, 1.7320508075688772]),
    "cos": ((X,), [-0.4161468365471424, 1, -0.9899924966004454]),
    "tanh": ((X,), [-0.9640275800758169, 0, 0.9950547536867305]),
    "min": ((X, Y), [-2, -1, 3]),
    "max": ((X, Y), [2, 0, 3]),
    "mod": ((X, np.array([3.0, 3.0, 2.0])), [1, 0, 1]),  # the sign of the divisor
    "pow_abs": ((X, Y), [4, inf, 27]),
    "clip": ((X, 2.5), [-2, 0, 2.5]),
    "clamp": ((X, -1.0, 2.0), [-1, 0, 2]),
    "where": ((X, Y, -Y), [2, 1, 3]),
    "norm": ((X,), [3.605551275463989]),  # sqrt(4 + 9)
    "mean": ((X,), [0.3333333333333333]),
    "dot": ((X, Y), [5]),  # -4 + 0 + 9
    "noise": ((0.5, np.array([1.0, -2.0])), [0.5, -1]),  # std times the normal handed in
    "drop": ((X, 0.3, np.array([0.2, 0.9, 0.3])), [0, 0, 3]),  # dropped where the uniform is below p
}


def test_every_primitive_has_a_row_here() -> None:
    assert EXPECTED.keys() == PRIMITIVES.keys()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_meaning_in_numpy(name: str) -> None:
    arguments, expected = EXPECTED[name]
    with np.errstate(all="ignore"):
        value = np.broadcast_to(PRIMITIVES[name].numpy(*arguments), (len(expected),))
    np.testing.assert_allclose(value, expected, rtol=1e-15)


def test_power_of_size_at_zero() -> None:
    pow_abs = PRIMITIVES["pow_abs"].numpy
    with np.errstate(all="ignore"):
        assert pow_abs(0.0, 0.0) == 1.0
        assert pow_abs(0.0, -1.0) == inf
        assert pow_abs(-2.0, 3.0) == 8.0


def test_nan_passes_through_clip_and_extremes() -> None:
    for name in ("clip", "min", "max"):
        assert np.isnan(PRIMITIVES[name].numpy(nan, 1.0))


def test_reductions_run_over_the_last_axis() -> None:
    x = np.array([[3.0, 4.0], [0.0, -5.0]])
    np.testing.assert_array_equal(PRIMITIVES["norm"].numpy(x), [[5.0], [5.0]])
    np.testing.assert_array_equal(PRIMITIVES["mean"].numpy(x), [[3.5], [-2.5]])
    np.testing.assert_array_equal(PRIMITIVES["dot"].numpy(x, x), [[25.0], [25.0]])
    assert PRIMITIVES["norm"].numpy(-2.0) == 2.0  # a number is a tensor of one element


@pytest.mark.parametrize("name", sorted(COMMUTATIVE))
def test_commutative_primitives_give_the_same_bits(name: str) -> None:
    x, y = np.array([-0.0, 1e300, 0.1, inf]), np.array([0.0, 3.0, 0.7, -inf])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(PRIMITIVES[name].numpy(x, y), PRIMITIVES[name].numpy(y, x))
