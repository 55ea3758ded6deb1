"""Statistics against scipy where it is exact, and against numbers that were worked by hand."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neuropt.statistics.best_of_k import best_of_k
from neuropt.statistics.friedman import NEMENYI, friedman
from neuropt.statistics.improvement import improvement
from neuropt.statistics.iqm import interquartile_mean, iqm_interval
from neuropt.statistics.paired_bootstrap import paired_difference
from neuropt.statistics.performance_profile import performance_profile
from neuropt.statistics.ranks import ranks
from neuropt.statistics.wilcoxon import least_p, signed_rank_test

SAMPLES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=12)


@settings(max_examples=50)
@given(SAMPLES)
def test_ranks_are_scipys(values: list[float]) -> None:
    assert ranks(values) == stats.rankdata(values).tolist()


@settings(max_examples=40)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12, unique=True), st.data())
def test_the_signed_rank_test_is_scipys_where_that_is_exact(sizes: list[int], data: st.DataObject) -> None:
    signs = data.draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=len(sizes), max_size=len(sizes)))
    differences = [sign * size for sign, size in zip(signs, sizes, strict=True)]
    _, wanted = stats.wilcoxon(differences, method="exact")
    assert signed_rank_test(differences, [0.0] * len(sizes)) == pytest.approx(wanted)


def test_the_signed_rank_test_with_ties_by_hand() -> None:
    # |d| = 1, 1, 2 have ranks 1.5, 1.5, 3. Of the 8 signs W takes 0, 1.5 (twice), 3 (twice: both ones; the two), 4.5 (twice), 6.
    # Signs +, -, +: W = 4.5, so P(W' >= 4.5) = 3/8 and p = 6/8. The pair that is equal is left out.
    assert signed_rank_test([1.0, 0.0, 2.0, 7.0], [0.0, 1.0, 0.0, 7.0]) == 0.75


def test_accuracies_that_differ_by_as_many_examples_are_tied() -> None:
    right = np.array(
        [[281, 290, 292, 280, 286, 291, 280, 282, 279, 287], [281, 288, 288, 281, 287, 289, 281, 283, 280, 286]]
    )
    shares = (right.astype(np.float32) / np.float32(300)).astype(np.float64)
    assert signed_rank_test(*shares.tolist()) == signed_rank_test(*right.astype(float).tolist())
    # losses keep their order, also beside a child that diverged
    assert signed_rank_test([1e-5, 3e-5, 1e-5, 100.0], [2e-5, 1e-5, 4e-5, 1e-5]) == signed_rank_test(
        [1.0, 3.0, 1.0, 9.0], [2.0, 1.0, 4.0, 1.0]
    )


def test_no_profile_of_costs_that_have_no_multiples() -> None:
    for cost in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be positive"):
            performance_profile([[cost, 1.0]], [1.0, 2.0])


@settings(max_examples=40)
@given(SAMPLES, st.data())
def test_the_signed_rank_test_counts_all_signs(values: list[float], data: st.DataObject) -> None:
    others = data.draw(st.lists(st.integers(-50, 50).map(float), min_size=len(values), max_size=len(values)))
    d = np.array([x - y for x, y in zip(values, others, strict=True) if x != y])
    signs = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1  # (2^n, n)
    r = stats.rankdata(np.abs(d)) if len(d) else np.zeros(0)
    sums, observed = signs @ r, r[d > 0].sum()
    wanted = min(1.0, 2 * min((sums <= observed + 1e-9).mean(), (sums >= observed - 1e-9).mean()))
    assert signed_rank_test(values, others) == pytest.approx(wanted)


@pytest.mark.parametrize("n", range(1, 12))
def test_no_sample_gives_less_than_the_least_p(n: int) -> None:
    assert signed_rank_test([float(i + 1) for i in range(n)], [0.0] * n) == pytest.approx(least_p(n))
    assert (least_p(n) <= 0.05) == (n >= 6)


@settings(max_examples=30)
@given(st.lists(st.integers(-9, 9).map(float), min_size=4, max_size=16).filter(lambda v: len(v) % 4 == 0))
def test_the_interquartile_mean_is_scipys_trimmed_mean_where_quarters_are_whole(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_the_interquartile_mean_of_six_by_hand() -> None:
    # a quarter is 1.5 values: half of the 2nd, the 3rd and 4th, half of the 5th; (0.5 * 1 + 2 + 3 + 0.5 * 4) / 3
    assert interquartile_mean([100.0, 0.0, 2.0, 4.0, 1.0, 3.0]) == pytest.approx(7.5 / 3)


def test_intervals_hold_what_they_are_of_and_are_refused_for_five() -> None:
    values = [0.1, 0.4, 0.2, 0.9, 0.5, 0.3]
    interval = iqm_interval(values)
    assert interval is not None
    assert interval[0] < interquartile_mean(values) < interval[1]
    assert iqm_interval(values[:5]) is None
    found = paired_difference(values, [0.0] * 6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.median < found.high
    assert paired_difference(values[:5], [0.0] * 5).low is None


def test_the_paired_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for i in range(100):
        common = generator.normal(0.0, 100.0, 15)  # pairs share it, so that an unpaired interval would be wide
        found = paired_difference((common + generator.normal(1.0, 1.0, 15)).tolist(), common.tolist(), seed=i)
        assert found.low is not None
        assert found.high is not None
        assert found.high - found.low < 4.0
        held += found.low <= 1.0 <= found.high
    assert 0.90 <= held / 100 <= 0.99


@given(st.lists(SAMPLES, min_size=2, max_size=2))
def test_the_probability_of_improvement_is_mann_whitneys_u(both: list[list[float]]) -> None:
    ones, others = both
    u = stats.mannwhitneyu(ones, others, method="asymptotic").statistic
    assert improvement(ones, others).share == pytest.approx(u / (len(ones) * len(others)))


def test_the_interval_of_an_improvement() -> None:
    certain = improvement([2.0] * 6, [1.0] * 6)
    assert (certain.share, certain.low, certain.high) == (1.0, 1.0, 1.0)
    even = improvement([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert even.share == 0.5
    assert even.low is not None
    assert even.high is not None
    assert even.low < 0.3
    assert even.high > 0.7


@settings(max_examples=20)
@given(st.integers(3, 6), st.integers(3, 8), st.integers(0, 1000))
def test_friedman_is_scipys(entries: int, tasks: int, seed: int) -> None:
    table = np.random.default_rng(seed).integers(0, 6, (tasks, entries)).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy, where all are equal
        wanted = stats.friedmanchisquare(*table.T).statistic
    found = friedman(table.tolist())
    assert found.mean_ranks == pytest.approx(stats.rankdata(table, axis=1).mean(0))
    assert found.chi2 == pytest.approx(0.0 if math.isnan(wanted) else wanted)


def test_the_permutation_p_comes_to_the_chi_squared_one_with_many_tasks() -> None:
    table = np.random.default_rng(3).normal(size=(60, 4)) + np.array([0.0, 0.1, 0.2, 0.3])
    found, wanted = friedman(table.tolist()), stats.friedmanchisquare(*table.T)
    assert found.p == pytest.approx(wanted.pvalue, rel=0.15)


def test_the_permutation_p_of_two_tasks_by_hand() -> None:
    # Three entries in the same order on two tasks: of the 36 pairs of orders 6 agree, and none is further from even. 6/36.
    found = [friedman([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], seed).p for seed in range(5)]
    assert np.mean(found) == pytest.approx(1 / 6, abs=0.006)  # 3.5 standard deviations of 50,000 draws


def test_the_critical_difference_by_hand() -> None:
    # Demsar 2006, section 3.2.2: four entries on 14 data sets, 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25
    table = np.random.default_rng(0).normal(size=(14, 4))
    assert friedman(table.tolist()).critical_difference == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize("entries", [2, 5, 10, 20, 21, 34, 40])
def test_nemenyis_numbers_are_of_the_studentized_range(entries: int) -> None:
    wanted = stats.studentized_range.ppf(0.95, entries, np.inf) / math.sqrt(2)
    assert NEMENYI[entries - 2] == pytest.approx(wanted, abs=0.0011)


def test_all_equal_is_no_difference() -> None:
    found = friedman([[1.0, 1.0], [2.0, 2.0]])
    assert (found.mean_ranks, found.chi2, found.p) == ((1.5, 1.5), 0.0, 1.0)


def test_a_profile_by_hand() -> None:
    # task 1: 10, 15, failed -> ratios 1, 1.5, inf; task 2: all fail; task 3: 8, 2, 4 -> 4, 1, 2
    costs = [[10.0, 15.0, math.inf], [math.inf] * 3, [8.0, 2.0, 4.0]]
    found = performance_profile(costs, [1.0, 1.5, 2.0, 4.0])
    assert found == [[1 / 3, 1 / 3, 1 / 3, 2 / 3], [1 / 3, 2 / 3, 2 / 3, 2 / 3], [0.0, 0.0, 1 / 3, 1 / 3]]


@given(st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=7))
def test_the_best_of_k_is_the_mean_over_all_ways_to_draw(values: list[float]) -> None:
    wanted = [np.mean([max(c) for c in combinations(values, k)]) for k in range(1, len(values) + 1)]
    assert best_of_k(values) == pytest.approx(wanted)
