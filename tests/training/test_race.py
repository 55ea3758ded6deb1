"""Who leaves a race, when, and as what; on cohorts whose losses are written down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from neuropt.tasks.task import Split
from neuropt.training.children import Child, Column, Losses, race
from tests.training.cohorts import DATA, DIGITS

TASK = replace(DIGITS.with_budget(8), halving=((2, 2), (4, 1)))
Script = dict[tuple[int, int, int], Sequence[float]]
"""(rule, learning rate, seed) -> the losses of all steps; the last one goes on for ever"""


class Scripted:
    """A cohort that reads its losses from a script, and evaluates to its last loss and to 1 over 1 more than that."""

    def __init__(self, script: Script) -> None:
        self.script, self.done = script, 0
        self.seeds = sorted({seed for _, _, seed in script})
        self.columns = [Column(r, i, 10.0**i) for r, i in sorted({(r, i) for r, i, _ in script})]
        self.losses = Losses(len(self.seeds), len(self.columns), TASK.loss_bound, torch.device("cpu"))

    def now(self) -> Tensor:
        """The losses of this step, (seeds, columns)."""
        curves = [[self.script[c.rule, c.rate, seed] for c in self.columns] for seed in self.seeds]
        return torch.tensor([[curve[min(self.done, len(curve) - 1)] for curve in row] for row in curves])

    def advance(self, steps: int) -> None:
        for _ in range(steps):
            self.losses.add(self.now())
            self.done += 1

    def keep(self, columns: list[int]) -> None:
        self.columns = [self.columns[c] for c in columns]
        self.losses.keep(torch.tensor(columns, dtype=torch.int64))

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        return self.now(), 1 / (1 + self.now())


def brief(children: Sequence[Child]) -> list[tuple[str, int]]:
    return [(child.status, child.steps) for child in children]


def test_the_lowest_losses_stay() -> None:
    script: Script = {(0, 0, 5): [9.0], (0, 1, 5): [3.0, 8.0, 8.0, 8.0], (0, 2, 5): [4.0, 5.0, 1.0]}
    (rates,) = race(Scripted(script), TASK, {"validation": DATA.validation})
    # after 2 steps the means are 9, 5.5, 4.5: two stay; after 4 they are 6.75 and 2.75: one stays
    assert [brief(row) for row in rates] == [[("stopped", 2)], [("stopped", 4)], [("trained", 8)]]
    assert rates[2][0] == Child(100.0, 5, "trained", 8, train_loss=(4 + 5 + 6) / 8, loss=1.0, accuracy=0.5)


def test_rules_do_not_compete_with_each_other() -> None:
    script: Script = {(0, 0, 1): [9.0], (0, 1, 1): [8.0], (1, 0, 1): [1.0], (1, 1, 1): [2.0]}
    first, second = race(Scripted(script), TASK, {})
    assert [brief(row) for row in first] == [[("stopped", 4)], [("trained", 8)]]
    assert [brief(row) for row in second] == [[("trained", 8)], [("stopped", 4)]]


def test_seeds_decide_together() -> None:
    # means over both seeds: 5 and 4
    script: Script = {(0, 0, 1): [1.0], (0, 0, 2): [9.0], (0, 1, 1): [6.0], (0, 1, 2): [2.0]}
    ((lost, won),) = race(Scripted(script), TASK, {})
    assert brief(lost) == [("stopped", 4), ("stopped", 4)]
    assert brief(won) == [("trained", 8), ("trained", 8)]


@pytest.mark.parametrize("worst", [math.nan, math.inf, 100.5])
def test_a_loss_that_is_not_finite_or_passes_the_bound_is_divergence_for_good(worst: float) -> None:
    script: Script = {(0, 0, 1): [1.0, worst, 0.1], (0, 1, 1): [5.0]}
    ((diverged, trained),) = race(Scripted(script), TASK, {"validation": DATA.validation})
    assert diverged == [Child(1.0, 1, "diverged", 1, train_loss=math.inf)]
    assert brief(trained) == [("trained", 8)]


def test_a_loss_at_the_bound_has_not_diverged() -> None:
    ((row,),) = race(Scripted({(0, 0, 1): [100.0]}), TASK, {})
    assert brief(row) == [("trained", 8)]


def test_a_seed_that_diverges_costs_its_learning_rate_the_halving() -> None:
    script: Script = {(0, 0, 1): [1.0], (0, 0, 2): [1.0, math.nan], (0, 1, 1): [5.0], (0, 1, 2): [5.0]}
    ((lost, won),) = race(Scripted(script), TASK, {})
    assert brief(lost) == [("stopped", 4), ("diverged", 1)]
    assert brief(won) == [("trained", 8), ("trained", 8)]


def test_all_may_diverge() -> None:
    script: Script = {(0, 0, 1): [math.nan], (0, 1, 1): [1.0, 1.0, 1.0, math.nan], (1, 0, 1): [1e9]}
    cohort = Scripted(script)
    first, second = race(cohort, TASK, {"validation": DATA.validation})
    assert [brief(row) for row in first] == [[("diverged", 0)], [("diverged", 3)]]
    assert [brief(row) for row in second] == [[("diverged", 0)]]
    assert cohort.done < TASK.steps  # and the race ends early


def test_a_rule_of_which_nothing_is_left_keeps_its_place() -> None:
    script: Script = {(0, 0, 1): [1.0], (1, 0, 1): [math.nan], (2, 0, 1): [2.0]}
    found = race(Scripted(script), TASK, {})
    assert [brief(rates[0]) for rates in found] == [[("trained", 8)], [("diverged", 0)], [("trained", 8)]]


def test_without_halving_all_go_to_the_end() -> None:
    script: Script = {(0, i, 1): [float(i)] for i in range(7)}
    (rates,) = race(Scripted(script), TASK, {}, halving=False)
    assert [brief(row) for row in rates] == [[("trained", 8)]] * 7


def test_divergence_in_the_last_step_is_found_by_the_evaluation() -> None:
    script: Script = {(0, 0, 1): [1.0] * 8 + [math.nan], (0, 1, 1): [2.0]}
    ((row, other),) = race(Scripted(script), TASK, {"validation": DATA.validation}, halving=False)
    assert row == [Child(1.0, 1, "diverged", 8, train_loss=math.inf)]
    assert other[0].loss == 2.0


def test_the_test_split_fills_its_own_fields() -> None:
    splits = {"validation": DATA.validation, "test": DATA.test}
    (((child,),),) = race(Scripted({(0, 0, 1): [3.0]}), TASK, splits)
    assert (child.loss, child.accuracy, child.test_loss, child.test_accuracy) == (3.0, 0.25, 3.0, 0.25)


def test_a_learning_curve_ends_where_its_child_diverged_though_the_other_seed_goes_on() -> None:
    script: Script = {(0, 0, 1): [1.0, 1.0, math.nan, 0.5], (0, 0, 2): [9.0, 8.0, 7.0, 6.0, 5.0]}
    (((fallen, whole),),) = race(Scripted(script), TASK, {"validation": DATA.validation}, halving=False, evaluations=4)
    # points at steps 0, 2, 4, 6 and 8; the loss of step 2, the third one, is no number, and what came after counts for nothing
    assert [loss for loss, _ in fallen.curve] == [1.0]
    assert [loss for loss, _ in whole.curve] == [9.0, 7.0, 5.0, 5.0, 5.0]
    assert fallen.status == "diverged"
