"""Every rule of the zoo as an optimizer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torch import Tensor, optim
from torch.optim import Optimizer

from neuropt.compiling.create import create_optimizer
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers import AddSign, PowerSign
from search_space import Interpreter, zoo
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem, learning_rate, path, start

STEPS, DECAY_STEPS = 100, 80


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", zoo())
def test_equals_the_interpreter(name: str, problem: Problem) -> None:
    rule = zoo()[name]
    decay_steps = DECAY_STEPS if rule.reads("T") else None
    lr = learning_rate(rule, problem, STEPS, decay_steps)
    interpreter, w, expected = Interpreter(rule, decay_steps=decay_steps), problem.start, []
    with np.errstate(all="ignore"):
        for step in range(STEPS):
            w = w - lr * interpreter.step(problem.gradient(w, step), w, lr)
            expected.append(w)
    optimizer = RuleOptimizer(start(problem), rule, lr, decay_steps=decay_steps)
    assert_same(path(optimizer, problem, STEPS), np.stack(expected))


HAND_CODED: dict[str, tuple[str, Callable[[list[Tensor]], Optimizer]]] = {
    "sgd": ("sgd", lambda p: optim.SGD(p, lr=1e-4)),
    "momentum": ("momentum", lambda p: optim.SGD(p, lr=1e-4, momentum=0.9)),
    "nesterov": ("nesterov", lambda p: optim.SGD(p, lr=1e-4, momentum=0.9, nesterov=True)),
    "adam": ("adam", lambda p: optim.Adam(p, lr=1e-4)),
    "powersign": ("powersign", lambda p: PowerSign(p, lr=1e-4)),
    "addsign": ("addsign", lambda p: AddSign(p, lr=1e-4)),
}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize(("name", "make"), HAND_CODED.values(), ids=list(HAND_CODED))
def test_equals_the_hand_coded(name: str, make: Callable[[list[Tensor]], Optimizer], problem: Problem) -> None:
    rule = path(RuleOptimizer(start(problem), zoo()[name], 1e-4), problem, STEPS)
    assert_same(rule, path(make(start(problem)), problem, STEPS))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("suffix", ["ld", "cd", "rd"])
@pytest.mark.parametrize("stem", ["powersign", "addsign"])
def test_decayed_sign_rules_equal_the_hand_coded(stem: str, suffix: str, problem: Problem) -> None:
    name = f"{stem}-{suffix}"
    rule = RuleOptimizer(start(problem), zoo()[name], 1e-4, decay_steps=DECAY_STEPS)
    hand_coded = create_optimizer(name, start(problem), lr=1e-4, decay_steps=DECAY_STEPS)
    assert not isinstance(hand_coded, RuleOptimizer)
    assert_same(path(rule, problem, STEPS), path(hand_coded, problem, STEPS))
