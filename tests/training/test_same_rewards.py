"""A fixed list of rules earns the same rewards in a population and one at a time: nothing gets faster by doing less."""

from __future__ import annotations

import pytest

from neuropt.searching.ledger_rows import RewardRow
from neuropt.searching.rewards import rule_reward
from neuropt.training.learning_rates import SCALED
from neuropt.training.train import train_rules
from neuropt.training.work import Trained
from tests.training.cohorts import DATA, DIGITS, parsed

TASK = DIGITS.with_budget(40)
RULES_AND_SCALES = {
    "g": 0.01,
    "sign(g) + mhat": 1.0,
    "clip(sign(m), 0.001) * exp(sign(g))": 0.002,
    "sign(mhat) - exp(0.001 * w)": 1.0,
    "drop(mhat, 0.3) * drop(0.001 * w, 0.5)": 1e-6,
    "adam * exp(sign(g) * sign(m)) * cd(10)": 1.0,
    "cbrt = pow_abs(gammahat, 0.3333); u = sign(g) * cbrt": 0.01,
}
RECORDED = (
    (0.8664987, 0.0304970),
    (0.8992443, 0.5650555),
    (0.8891688, 1.0322750),
    (0.8110831, 0.3852380),
    (0.0705290, -0.8376453),
    (0.9269521, 1.6094626),
    (0.8337531, 0.7137422),
)
"""By accuracy and by loss: what populations gave before they were made faster (commit 312bfc2), and have given since, to the last bit."""
ONE_IMAGE = 1.01 / 397
"""Of the validation split: a float's last bit may turn one over."""
LOSS = 1e-5
"""Of minus log of the loss, after 40 steps in float32."""


def rewards(batched: bool) -> list[tuple[RewardRow, RewardRow]]:
    """By accuracy and by loss, of every rule."""
    rules = parsed(list(RULES_AND_SCALES))
    rates = [[lr / scale for lr in SCALED] for scale in RULES_AND_SCALES.values()]
    found = train_rules(TASK, DATA, rules, rates, [5], batched=batched)
    trained = [Trained(tuple(tuple(row) for row in rule)) for rule in found]
    return [(rule_reward(0, one, TASK, "accuracy"), rule_reward(0, one, TASK, "loss")) for one in trained]


def test_rewards_of_fixed_rules_are_those_of_before_and_the_same_either_way() -> None:
    for rule, together, alone, recorded in zip(RULES_AND_SCALES, rewards(True), rewards(False), RECORDED, strict=True):
        assert together[0].reward == pytest.approx(recorded[0], abs=ONE_IMAGE), rule
        assert together[1].reward == pytest.approx(recorded[1], abs=LOSS), rule
        assert together[0].reward == pytest.approx(alone[0].reward, abs=ONE_IMAGE), rule
        assert together[1].reward == pytest.approx(alone[1].reward, abs=LOSS), rule
        statuses = [(child.status, child.steps) for child in together[0].children]
        assert statuses == [(child.status, child.steps) for child in alone[0].children], rule
        assert {status for status, _ in statuses} == {"stopped", "trained"}, rule
