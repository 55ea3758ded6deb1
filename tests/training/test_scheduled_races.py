"""Halving in the middle of a schedule: those that stay keep their place in it, batched or one at a time."""

from __future__ import annotations

import pytest

from neuropt.training.train import train_rules
from tests.training.cohorts import DATA, DIGITS, RULES, parsed

KINDS = ("gradient", "reads lr", "average by lr")


def test_halving_leaves_the_others_in_their_place_of_the_schedule() -> None:
    schedule = "noisy-linear-cosine"  # each step has a rate of its own, some below 0
    task = DIGITS.with_budget(40)
    rules, rates = parsed([RULES[kind] for kind in KINDS]), [[0.003, 0.01, 0.03, 0.1]] * len(KINDS)
    together, alone = (
        train_rules(task, DATA, rules, rates, [1, 2], batched=batched, schedule=schedule) for batched in (True, False)
    )
    assert {child.steps for rule in together for row in rule for child in row} == {20, 40}, "some stop half-way"
    pairs = [
        (kind, one, other)
        for kind, ones, others in zip(KINDS, together, alone, strict=True)
        for row, other_row in zip(ones, others, strict=True)
        for one, other in zip(row, other_row, strict=True)
    ]
    for kind, one, other in pairs:
        assert (one.status, one.steps) == (other.status, other.steps), kind
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-4), kind
