"""What an outcome earns, seen in the metrics of an update."""

from __future__ import annotations

import numpy as np
import pytest

from controllers import PPO, Outcome, PPOSettings, Reinforce, ReinforceSettings
from controllers.controller import Status
from controllers.settings import Duplicates
from tests.controllers.small_space import SmallSpace

Told = list[tuple[Status, float | None]]


def tell(controller: PPO | Reinforce, told: Told) -> dict[str, float]:
    proposals = controller.ask(len(told))
    controller.tell([Outcome(p.id, p.tokens, *what) for p, what in zip(proposals, told, strict=True)])
    return controller.metrics()


def ppo(size: int, duplicates: Duplicates = "floor", worst_reward: float = 0.0) -> PPO:
    return PPO(
        SmallSpace(), PPOSettings(batch_size=size, duplicates=duplicates, worst_reward=worst_reward, hidden=8), seed=1
    )


def test_rejected_and_failed_rules_earn_the_floor_whatever_they_come_with() -> None:
    # (.8 + .2 + .2) / 3
    metrics = tell(ppo(3, worst_reward=0.2), [("trained", 0.8), ("rejected", None), ("failed", 0.9)])
    assert metrics["mean_reward"] == pytest.approx(0.4)
    assert metrics["invalid_share"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("duplicates", "mean"), [("floor", 0.4), ("paid", 0.7)])
def test_a_duplicate_earns_the_floor_or_is_paid(duplicates: Duplicates, mean: float) -> None:
    # floor: (.8 + 0) / 2; paid: (.8 + .6) / 2
    metrics = tell(ppo(2, duplicates), [("trained", 0.8), ("duplicate", 0.6)])
    assert metrics["mean_reward"] == pytest.approx(mean)
    assert metrics["duplicate_share"] == 0.5


def test_a_skipped_duplicate_is_counted_but_not_learnt_from() -> None:
    controller = ppo(2, "skip")
    assert tell(controller, [("trained", 0.8), ("duplicate", 0.6), ("duplicate", 0.6)]) == {}
    metrics = tell(controller, [("trained", 0.6)])
    assert metrics["mean_reward"] == pytest.approx(0.7)
    assert metrics["duplicate_share"] == 0.5


def test_a_paid_duplicate_without_a_reward_earns_the_floor() -> None:
    assert tell(ppo(2, "paid"), [("trained", 0.8), ("duplicate", None)])["mean_reward"] == pytest.approx(0.4)


def test_the_floor_is_never_better_than_a_trained_rule() -> None:
    # rewards are minus losses here: the floor falls from 0 to the worst of them, and stays
    controller = ppo(2)
    assert tell(controller, [("duplicate", None), ("trained", -3.0)])["mean_reward"] == pytest.approx(-3.0)
    assert tell(controller, [("duplicate", None), ("trained", -1.0)])["mean_reward"] == pytest.approx(-2.0)


def test_the_baseline_is_that_of_the_batches_before() -> None:
    controller = Reinforce(SmallSpace(), ReinforceSettings(batch_size=2, baseline_decay=0.5, hidden=8), seed=1)
    first = tell(controller, [("trained", 0.2), ("trained", 0.6)])
    assert [first["baseline"], first["baseline_error"]] == pytest.approx([0.4, 0.2])
    second = tell(controller, [("trained", 0.8), ("trained", 0.8)])
    assert [second["baseline"], second["baseline_error"]] == pytest.approx([0.4, 0.4])
    # .5 * .4 + .5 * .8
    assert tell(controller, [("trained", 0.6), ("trained", 0.6)])["baseline"] == pytest.approx(0.6)


def test_equal_rewards_leave_the_entropy_bonus_alone_in_the_loss() -> None:
    controller = PPO(SmallSpace(), PPOSettings(batch_size=4, epochs=1, learning_rate=1e-9, hidden=8), seed=1)
    metrics = tell(controller, [("trained", 0.5)] * 4)
    assert metrics["loss"] == pytest.approx(-0.05 * metrics["entropy"], rel=1e-4)


def test_a_step_makes_the_best_string_of_a_batch_more_probable() -> None:
    controller = ppo(4)
    proposals = controller.ask(4)
    controller.tell([Outcome(p.id, p.tokens, "trained", reward=float(p.id)) for p in proposals])
    untouched = PPO(SmallSpace(), controller.settings, seed=1)
    tokens = np.array([p.tokens for p in proposals])
    change = controller.policy.evaluate(tokens)[0] - untouched.policy.evaluate(tokens)[0]
    assert change.argmax().item() == 3


def test_batches_complete_within_one_tell() -> None:
    assert tell(ppo(2), [("trained", 0.1)] * 7)["updates"] == 3
