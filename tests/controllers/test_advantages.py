from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from controllers import baseline_advantages, moving_baseline, rank_advantages, z_score


def test_ranks_to_the_fourth_power() -> None:
    # .1 is above nobody: rank 0. .2 is above one of three: 1/3. Each .4 is above two and equal to one other: 2.5 / 3 = 5/6.
    # fourth powers: 0, 1/81 = .0123457, 625/1296 = .4822531 twice; mean .2442130
    # deviations: -.2442130, -.2318673, .2380401 twice; their mean square .0566822, its root .2380801
    advantages = rank_advantages(torch.tensor([0.1, 0.4, 0.2, 0.4]))
    assert advantages.tolist() == pytest.approx([-1.0257595, 0.9998319, -0.9739044, 0.9998319], abs=1e-6)


def test_z_score() -> None:
    # mean 2; deviations -1, 0, 1; their mean square 2/3; 1 / sqrt(2/3) = sqrt(1.5) = 1.2247449
    assert z_score(torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1.2247449, 0.0, 1.2247449], abs=1e-7)


def test_baseline() -> None:
    assert baseline_advantages(torch.tensor([0.25, 1.0]), 0.5).tolist() == [-0.25, 0.5]


def test_the_first_batch_sets_the_baseline_and_later_ones_move_it() -> None:
    first = moving_baseline(None, torch.tensor([1.0, 2.0]), decay=0.9)
    assert first == 1.5
    # 0.9 * 1.5 + 0.1 * 3.5
    assert moving_baseline(first, torch.tensor([3.0, 4.0]), decay=0.9) == pytest.approx(1.7)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e30])
@pytest.mark.parametrize("batch", [1, 2, 20])
def test_equal_rewards_have_no_advantage(value: float, batch: int) -> None:
    rewards = torch.full((batch,), value)
    assert rank_advantages(rewards).tolist() == z_score(rewards).tolist() == [0.0] * batch


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30))
def test_ranks_see_only_the_order(rewards: list[int]) -> None:
    r = torch.tensor(rewards, dtype=torch.float64)
    assert torch.equal(rank_advantages(r), rank_advantages(r**3 + 7.0))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
@example(
    [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 3, 2, 2, 1, 4]
)  # 18: the last two are computed apart from the vectors before
def test_ties_share_a_value_and_a_better_reward_has_a_larger_one(rewards: list[int]) -> None:
    advantages = rank_advantages(torch.tensor(rewards)).tolist()
    for r_i, a_i in zip(rewards, advantages, strict=True):
        for r_j, a_j in zip(rewards, advantages, strict=True):
            assert (r_i > r_j) == (a_i > a_j)


def test_the_floor_is_only_the_lowest_rank_however_deep_it_is() -> None:
    near, far = torch.tensor([0.0, 0.9, 0.91, 0.0]), torch.tensor([-1e6, 0.9, 0.91, -1e6])
    assert torch.equal(rank_advantages(near), rank_advantages(far))


@pytest.mark.parametrize("rewards", [torch.zeros(0), torch.zeros(2, 2), torch.tensor(1.0)])
def test_a_wrong_shape_is_refused(rewards: torch.Tensor) -> None:
    for call in (rank_advantages, z_score):
        with pytest.raises(ValueError, match=r"shape \(batch,\)"):
            call(rewards)
