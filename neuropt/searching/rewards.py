"""From the children of a rule to its reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Protocol

from neuropt.config import Reward
from neuropt.searching.ledger_rows import RewardRow
from neuropt.training.children import Child
from neuropt.training.work import Trained

BEST_LOSS = 1e-6
"""A validation loss below this counts as this, so that the reward of the loss is bounded."""


class RewardRange(Protocol):
    """What bounds rewards: a task, or a table of one."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def metric(self) -> Reward:
        """What children are measured by."""
        ...

    @property
    def worst_reward(self) -> float:
        """The low end of accuracy."""
        ...

    @property
    def best_reward(self) -> float:
        """The high end of accuracy."""
        ...

    @property
    def steps(self) -> int:
        """Of a child's whole budget."""
        ...

    @property
    def loss_bound(self) -> float:
        """A loss above it is divergence."""
        ...


def reward_of(reward: Reward | None, task: RewardRange) -> Reward:
    """Return what is rewarded: as asked for, or the task's metric where that is left to it.

    Raises:
        ValueError: accuracy, of a task that has none.
    """
    if reward == "accuracy" and task.metric != "accuracy":
        raise ValueError(f"reward accuracy needs a task that has right answers, but {task.name} has a loss alone")
    return reward or task.metric


def child_reward(child: Child, task: RewardRange, reward: Reward) -> float:
    """Return what one child is worth: its validation metric, clamped to the task's range; the worst value if it was not evaluated.

    accuracy                 clamped to [task.worst_reward, task.best_reward]
    -log(validation loss)    clamped to [-log(task.loss_bound), -log(1e-6)]
    """
    lowest = worst_reward(task, reward)
    if child.status == "diverged" or child.loss is None:
        return lowest
    if reward == "accuracy" and child.accuracy is None:
        return lowest
    value = child.accuracy or 0.0 if reward == "accuracy" else -math.log(max(child.loss, BEST_LOSS))
    highest = task.best_reward if reward == "accuracy" else -math.log(BEST_LOSS)
    return min(max(value, lowest), highest) if math.isfinite(value) else lowest


def worst_reward(task: RewardRange, reward: Reward) -> float:
    """Return the reward of a rule that cannot be trained."""
    return task.worst_reward if reward == "accuracy" else -math.log(task.loss_bound)


def rule_reward(proposal: int, trained: Trained, task: RewardRange, reward: Reward, control: bool = False) -> RewardRow:
    """Return the reward of a rule: that of its best learning rate, mean over seeds; ties go to the lower loss.

    Of a rule that was stopped at a rung it is the reward there, at that fidelity.

    Args:
        control: whether it belongs to the control group.
    """
    worst = worst_reward(task, reward)
    if trained.failure is not None:
        return RewardRow(proposal, "failed", worst, None, None, None, trained.failure, control=control)
    children = tuple(child for row in trained.children for child in row)

    def rank(row: Sequence[Child]) -> tuple[float, float]:
        return fmean(child_reward(c, task, reward) for c in row), -_mean_loss(row)

    best = max(trained.children, key=rank)
    rungs = tuple((rung.steps / task.steps, max(map(rank, rung.children))[0]) for rung in trained.rungs)
    complete = [c for c in best if c.loss is not None]
    shares = [c.accuracy for c in complete if c.accuracy is not None]
    accuracy = fmean(shares) if shares else None
    loss = fmean(c.loss or 0.0 for c in complete) if complete else None
    rate = best[0].learning_rate if complete else None
    values = rank(best)[0], accuracy, loss, rate
    return RewardRow(proposal, "trained", *values, None, children, trained.fidelity, control, rungs)


def _mean_loss(row: Sequence[Child]) -> float:
    return fmean(math.inf if c.loss is None else c.loss for c in row)
