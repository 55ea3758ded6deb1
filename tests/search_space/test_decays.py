from __future__ import annotations

import numpy as np
import pytest

from search_space import parse_rule, run

T = 1000
# w = -u with g = 1 and lr = 1 from 0; the table of the specification, t = 0, 100, .., 1000
LINEAR = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
WHOLE_COSINE = [1.0, 0.904508, 0.654508, 0.345492, 0.095492, 0.0, 0.095492, 0.345492, 0.654508, 0.904508, 1.0]
HALF_COSINE = [1.0, 0.975528, 0.904508, 0.793893, 0.654508, 0.5, 0.345492, 0.206107, 0.095492, 0.024472, 0.0]
DIGITS = 5e-7  # the table has six decimals


def values(text: str, steps: int = T + 1) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    path = run(parse_rule(text), np.ones((steps, 1)), np.zeros(1), lr=1.0, decay_steps=T)
    return -np.diff(path[:, 0], prepend=0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ld", LINEAR),
        ("cd", HALF_COSINE),
        ("cd(0.5)", HALF_COSINE),
        ("cd(1)", WHOLE_COSINE),
        ("rd", [*HALF_COSINE[:-1], 1.0]),  # the mod wraps at t = T, as the authors' code does
        ("rd(1)", [*HALF_COSINE[:-1], 1.0]),
        ("rd(2)", [1.0, 0.904508, 0.654508, 0.345492, 0.095492, 1.0, 0.904508, 0.654508, 0.345492, 0.095492, 1.0]),
        ("cd(1, 0.5)", [*WHOLE_COSINE[:5], *[0.0] * 6]),  # 0 once n t/T >= 0.5
        ("rd(2, 1)", [1.0, 0.904508, 0.654508, 0.345492, 0.095492, *[0.0] * 6]),
    ],
)
def test_decays_follow_the_table(text: str, expected: list[float]) -> None:
    np.testing.assert_allclose(values(text)[::100], expected, atol=DIGITS)


def test_time_is_capped_at_the_planned_steps() -> None:
    np.testing.assert_allclose(values("ld + cd", T + 5)[-4:], 0.0, atol=1e-12)


def test_decays_need_the_planned_steps() -> None:
    with pytest.raises(ValueError, match="pass decay_steps="):
        run(parse_rule("ld * g"), np.ones((1, 1)), np.zeros(1), lr=0.1)
