"""What a search sees of a table, and what it is judged by, are different seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from neuropt.config import Reward
from neuropt.searching.rewards import rule_reward
from neuropt.tables.table import Table
from neuropt.tables.table_source import TableExecutor
from neuropt.training.work import Job, Work


def with_numbers(table: Table, losses: list[list[float]], accuracies: list[list[float]]) -> Table:
    """Rule 0 at its first rates has these numbers, [rate][seed]; all else is at accuracy .25 and loss 2."""
    all_losses, all_accuracies = table.losses.copy(), table.accuracies.copy()
    all_losses[0, : len(losses)], all_accuracies[0, : len(losses)] = losses, accuracies
    return replace(table, losses=all_losses, accuracies=all_accuracies)


def test_the_seen_seed_chooses_the_learning_rate_and_the_other_judges_it(invented: Table) -> None:
    # seed 0 likes rate 1 (.9 > .8), where seed 1 has accuracy .5 and loss 3; its own best, .95 at rate 0, is not looked at
    table = with_numbers(invented, [[0.5, 0.1], [0.4, 3.0]], [[0.8, 0.95], [0.9, 0.5]])
    judged = table.judge(seen=(0,))
    assert (judged.rates[0], judged.rewards[0], judged.accuracies[0]) == (1, pytest.approx(0.9), 0.5)
    assert judged.qualities[0] == pytest.approx(-math.log(3.0))
    # seed 1 likes rate 0
    other = table.judge(seen=(1,))
    assert (other.rates[0], other.rewards[0], other.accuracies[0]) == (0, pytest.approx(0.95), pytest.approx(0.8))
    assert other.qualities[0] == pytest.approx(-math.log(0.5))
    assert (table.reward(0, 1), table.quality(0, 1)) == (other.rewards[0], other.qualities[0])
    assert (judged.seen, judged.others, other.seen, other.others) == ((0,), (1,), (1,), (0,))


def test_a_reward_of_the_loss_chooses_by_the_loss(invented: Table) -> None:
    table = with_numbers(invented, [[0.5, 0.1], [0.4, 3.0]], [[0.9, 0.5], [0.1, 0.5]])
    judged = table.judge(seen=(0,), reward="loss")
    assert (judged.rates[0], judged.rewards[0]) == (1, pytest.approx(-math.log(0.4)))


def test_equal_accuracies_go_to_the_lower_loss(invented: Table) -> None:
    table = with_numbers(invented, [[0.5, 1.0], [0.4, 1.0], [0.6, 1.0]], [[0.9, 0.5]] * 3)
    assert table.judge(seen=(0,)).rates[0] == 1


def test_a_diverged_child_counts_as_the_worst_there_is(invented: Table) -> None:
    nan, inf = math.nan, math.inf
    table = with_numbers(invented, [[0.5, inf], *[[inf, inf]] * 6], [[0.9, nan], *[[nan, nan]] * 6])
    judged, other = table.judge(seen=(0,)), table.judge(seen=(1,))
    assert (judged.rewards[0], judged.accuracies[0], judged.qualities[0]) == (
        pytest.approx(0.9),
        0.0,
        pytest.approx(-math.log(100.0)),
    )
    assert other.rewards[0] == 0.0


def test_nothing_that_the_search_does_not_see_moves_its_rewards(table: Table) -> None:
    """Whatever the other seeds are, rewards and chosen learning rates stay; whatever the seen one is, at one rate quality stays."""
    rng = np.random.default_rng(0)
    noise = rng.lognormal(size=table.losses.shape[:2]).astype(np.float32)
    losses, accuracies = table.losses.copy(), table.accuracies.copy()
    losses[:, :, 1], accuracies[:, :, 1] = noise, 1.0 / (1.0 + noise)
    changed = replace(table, losses=losses, accuracies=accuracies).judge(seen=(0,))
    before = table.judge(seen=(0,))
    np.testing.assert_array_equal(changed.rewards, before.rewards)
    np.testing.assert_array_equal(changed.rates, before.rates)
    assert not np.array_equal(changed.qualities, before.qualities)


@pytest.mark.parametrize("seen", [(0,), (1,), (2, 0)])
@pytest.mark.parametrize("reward", ["accuracy", "loss"])
def test_rewards_are_those_that_a_search_reckons_from_the_same_children(
    seen: tuple[int, ...], reward: Reward, table: Table
) -> None:
    seeds = tuple(table.seeds[column] for column in seen)
    jobs = tuple(Job(text, table.learning_rates(rule)) for rule, text in enumerate(table.rules))
    ((_, done),) = TableExecutor(table).map([Work(jobs, seeds)])
    rows = [rule_reward(rule, trained, table, reward) for rule, trained in enumerate(done.trained)]
    judged = table.judge(seen, reward)
    np.testing.assert_allclose([row.reward for row in rows], judged.rewards, rtol=1e-12)
    assert [row.learning_rate for row in rows] == [
        table.learning_rates(rule)[rate] for rule, rate in enumerate(judged.rates)
    ]


def test_the_top_is_the_best_share_by_quality(table: Table) -> None:
    judged = table.judge(seen=(0,))
    top = judged.top(0.1)
    assert len(top) == 3, "of 31"
    assert judged.qualities[top].tolist() == sorted(judged.qualities, reverse=True)[:3]
    assert len(judged.top(1e-9)) == 1


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, math.nan])
def test_a_share_beyond_its_range_is_refused(share: float, table: Table) -> None:
    with pytest.raises(ValueError, match=r"share must lie in 0\.\.1"):
        table.judge().top(share)


@pytest.mark.parametrize("seen", [(), (3,), (-1,), (0, 0)])
def test_seeds_that_the_table_does_not_have_are_refused(seen: tuple[int, ...], table: Table) -> None:
    with pytest.raises(ValueError, match="seen must be distinct numbers from 0 to 2"):
        table.judge(seen)


def test_a_search_may_not_see_all_seeds(table: Table) -> None:
    with pytest.raises(ValueError, match="leaves none to judge by"):
        table.judge((0, 1, 2))
