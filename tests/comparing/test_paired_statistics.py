"""Ratios and corrections against hand-worked numbers and another definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuropt.comparing.statistics import Ratio, median_ratio
from neuropt.statistics.holm import holm


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .5: times 4, 3, 2, 1 is .04 .06 .06 .5; each at least the one before it
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, 0.6]) == [0.8, 0.8]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_holm_is_bonferroni_on_every_family_that_holds_a_hypothesis(p: list[float]) -> None:
    """Closed testing: a hypothesis falls when every intersection with it does, each judged by Bonferroni."""
    places = range(len(p))
    wanted = [
        max(
            min(1.0, len(family) * min(p[j] for j in family))
            for size in range(1, len(p) + 1)
            for family in combinations(places, size)
            if i in family
        )
        for i in places
    ]
    assert holm(p) == pytest.approx(wanted)


def test_the_ratio_is_of_medians() -> None:
    assert median_ratio([800.0, 900.0, 100.0], [200.0, 300.0, 400.0]) == Ratio(800 / 300)


def test_the_interval_of_a_ratio_holds_it_and_shrinks_with_pairs() -> None:
    generator = np.random.default_rng(0)
    over, under = generator.exponential(800, 400) + 1, generator.exponential(200, 400) + 1
    few, many = median_ratio(over[:20].tolist(), under[:20].tolist()), median_ratio(over.tolist(), under.tolist())
    widths = []
    for ratio in (few, many):
        assert ratio.low is not None
        assert ratio.high is not None
        assert ratio.low <= ratio.value <= ratio.high
        assert ratio.low < 4.0 < ratio.high  # the medians are 800 log 2 and 200 log 2, beside the 1
        widths.append(ratio.high - ratio.low)
    assert widths[1] < widths[0]


def test_pairs_are_drawn_together() -> None:
    """Where one is always twice the other, so is its median, whichever pairs are drawn."""
    ones = [2.0, 8.0, 32.0, 128.0, 512.0, 2048.0, 8192.0]
    assert median_ratio(ones, [one / 2 for one in ones]) == Ratio(2.0, 2.0, 2.0)
