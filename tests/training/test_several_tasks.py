"""Tasks of one shape in one buffer have the numbers of each task alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neuropt.tasks.task import MLP, Split, Task, TaskData
from neuropt.training.several_tasks import train_on_tasks
from neuropt.training.train import train_rules
from tests.training.cohorts import DATA, DIGITS, RULES, parsed
from tests.training.test_population import TOLERANCE_32, assert_same_children, flat

SHORT = DIGITS.with_budget(12)
SEEDS = [1, 2]
RATES = [1e-2, 0.3, 1e4]  # the last one diverges
RULES_HERE = parsed([RULES[name] for name in ("gradient", "adam", "noise", "drop", "norm", "average by lr", "start")])


def turned(data: TaskData, examples: int) -> TaskData:
    """The data with its pixels in the opposite order, and fewer training examples."""
    train = Split(data.train.inputs[:examples].flip(1), data.train.targets[:examples])
    others = (Split(split.inputs.flip(1), split.targets) for split in (data.validation, data.test))
    return TaskData.of(train, *others)


TURNED = turned(DATA, examples=700)


def test_each_task_has_the_children_that_it_has_alone() -> None:
    other = replace(SHORT, name="turned", halving=())
    rates = [RATES] * len(RULES_HERE)
    together = train_on_tasks([SHORT, other], [DATA, TURNED], RULES_HERE, rates, SEEDS, test=True)
    for task, data, found in zip([SHORT, other], [DATA, TURNED], together, strict=True):
        alone = train_rules(task, data, RULES_HERE, rates, SEEDS, halving=False, test=True)
        assert_same_children(flat(found), flat(alone), TOLERANCE_32)
    losses = [[child.loss for child in flat(found) if child.status == "trained"] for found in together]
    assert losses[0] != losses[1]
    assert {child.status for child in flat(together[0])} == {"trained", "diverged"}


def test_more_rules_than_a_buffer_holds_keep_their_order() -> None:
    rates = [[1e-3 * i] for i in range(1, 130)]  # a buffer holds 83 rules on two tasks
    found = train_on_tasks([DIGITS.with_budget(1)] * 2, [DATA, TURNED], parsed(["g"]) * len(rates), rates, [1])
    assert [[rule[0][0].learning_rate for rule in task] for task in found] == [[row[0] for row in rates]] * 2


def linear() -> torch.nn.Module:
    return torch.nn.Linear(64, 10)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "at least one task"),
        ([SHORT], "1 tasks need 1 data, but got 2"),
        ([SHORT, SHORT.with_budget(13)], "of one shape, but digits-mlp has steps 13 and digits-mlp has 12"),
        ([SHORT, replace(SHORT, name="wide", model=MLP((64, 33, 10)))], "wide has model MLP"),
        ([SHORT, replace(SHORT, name="plain", model=linear)], "plain is trained one at a time"),
    ],
)
def test_tasks_of_other_shapes_are_refused(tasks: list[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train_on_tasks(tasks, [DATA, TURNED], parsed(["g"]), [[0.1]], SEEDS)
