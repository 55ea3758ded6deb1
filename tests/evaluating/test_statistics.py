"""Statistics against hand-worked numbers and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neuropt.evaluating.statistics import Spread, compare, median_interval, sign_test, spread

TEN = [0.95, 0.97, 0.91, 0.96, 0.94, 0.99, 0.93, 0.92, 0.98, 0.90]


def test_quartiles_by_hand() -> None:
    # sorted 1 2 3 4: positions 0.75, 1.5 and 2.25
    assert spread([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.75, 3.25)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_the_interval_agrees_with_scipy() -> None:
    wanted = stats.bootstrap(
        (TEN,), np.median, n_resamples=10_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    found = median_interval(TEN)
    assert found == pytest.approx(
        (wanted.low, wanted.high), abs=0.0051
    )  # half a step between neighbours: two samplings


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        interval = median_interval(generator.normal(size=10).tolist(), seed=trial)
        assert interval is not None
        covered += interval[0] <= 0.0 <= interval[1]
    assert covered / 300 > 0.9  # percentile bootstrap of a median at n = 10; 0.95 less 3 standard errors is 0.91


def test_the_interval_is_the_same_for_one_seed() -> None:
    assert median_interval(TEN, seed=1) == median_interval(TEN, seed=1)


@pytest.mark.parametrize("n", [1, 5])
def test_few_values_support_no_interval(n: int) -> None:
    assert median_interval(TEN[:n]) is None
    assert spread(TEN[:n]).low is None


def test_six_values_support_one() -> None:
    assert median_interval(TEN[:6]) is not None


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 0), (8, 2), (2, 8), (5, 5), (60, 40)])
def test_the_sign_test_agrees_with_scipy(wins: int, losses: int) -> None:
    wanted = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(wanted, rel=1e-12)


def test_a_comparison_is_paired() -> None:
    found = compare([1.0, 2.0, 3.0, 4.0], [0.0, 3.0, 3.0, 1.0])
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    assert found.p == 1.0  # of three coins, 2 to 1 or more uneven either way: always


def test_what_five_pairs_cannot_say_is_not_said() -> None:
    words = compare([1.0] * 5, [0.0] * 5).words
    assert "5 unequal pairs can never give p under 0.0625; nothing is claimed" in words
    assert "nothing is claimed" in compare([1.0] * 9, [1.0] * 9).words


def test_what_enough_pairs_say() -> None:
    assert "differs (sign test, p = 0.00195, n = 10)" in compare([1.0] * 10, [0.0] * 10).words
    assert "no difference shown" in compare([1.0] * 10, [0.0] * 7 + [2.0] * 3).words
