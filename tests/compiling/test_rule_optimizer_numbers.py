"""RuleOptimizer computes what its rule means, and what torch's own optimizers compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, optim
from torch.optim import Optimizer

from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers import AddSign, PowerSign
from search_space import Interpreter, parse_rule
from tests.compiling.comparison import assert_same
from tests.compiling.problems import PROBLEMS, Problem, learning_rate

STEPS = 30
ADAM = "beta1 = 0.9; beta2 = 0.999; eps = 1e-8; m = ema(g, beta1); v = ema(g ** 2, beta2)"
POWERSIGN = "beta = 0.9; base = 2.718281828459045; m = ema(g, beta); u = base ** (sign(g) * sign(m)) * g"
ADDSIGN = "beta = 0.9; alpha = 1; m = ema(g, beta); u = (alpha + {f} * sign(g) * sign(m)) * g"
RULES = {
    "sgd": "g",
    "momentum": "mu = 0.9; b = mu * prev(b) + g; u = b",
    "adam": f"{ADAM}; u = debiased(g, beta1) / (sqrt(debiased(g ** 2, beta2)) + eps)",
    "adamw": "adam + 0.01 * w",
    "powersign": POWERSIGN,
    "addsign-ld": ADDSIGN.format(f="ld"),
    "cosine": "g * cd(2) + 0.1 * w * rd(3)",
    "noisy": "g + noise(0.1) + drop(m, 0.3) + drop(w, 0.1)",
    "clipped": "(exp(sign(g) * sign(m)) + clip(g, 1e-4)) * clip(g, 1)",
    "normed": "s = 0.9 * prev(s, 1) + 0.1 * norm(g); u = g / s + mean(w) * 1e-3 + g * dot(g, w) * 1e-9",
    "numbers": "b = 0.9 * prev(b, 1); k = prev(k) + lr; u = g * b * k",
    "differences": "d = g; u = g + 0.1 * (g - prev(d))",
    "uses lr": "g * lr + m * t / T",
    "where": "b = ema(g, 0.5); u = where(g * prev(b) > 0, b, 0.5 * g)",
    "constant": "1e-3",
}


def trajectory(make: Callable[[list[Tensor]], Optimizer], problem: Problem, steps: int = STEPS) -> Any:
    w = torch.tensor(problem.start, requires_grad=True)
    optimizer, path = make([w]), []
    for step in range(steps):
        w.grad = torch.from_numpy(np.array(problem.gradient(w.detach().numpy(), step)))
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.stack(path)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_equals_the_interpreter(rule: str, problem: Problem) -> None:
    decay_steps = 20 if parse_rule(rule).reads("T") else None
    lr = learning_rate(parse_rule(rule), problem, STEPS, decay_steps)
    interpreter = Interpreter(parse_rule(rule), decay_steps=decay_steps, seed=2**40 + 3)
    w, expected = problem.start, []
    for step in range(STEPS):
        w = w - lr * interpreter.step(problem.gradient(w, step), w, lr)
        expected.append(w)
    got = trajectory(lambda p: RuleOptimizer(p, rule, lr, decay_steps=decay_steps, seed=2**40 + 3), problem)
    assert_same(got, np.stack(expected))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ("sgd", lambda p: optim.SGD(p, lr=1e-5)),
        ("momentum", lambda p: optim.SGD(p, lr=1e-5, momentum=0.9)),
        ("adam", lambda p: optim.Adam(p, lr=1e-5)),
        ("adamw", lambda p: optim.AdamW(p, lr=1e-5, weight_decay=0.01)),
        ("powersign", lambda p: PowerSign(p, lr=1e-5)),
        ("addsign-ld", lambda p: AddSign(p, lr=1e-5, sign_decay="linear", decay_steps=20)),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_equals_other_optimizers(rule: str, other: Callable[[list[Tensor]], Optimizer], problem: Problem) -> None:
    got = trajectory(lambda p: RuleOptimizer(p, RULES[rule], 1e-5, decay_steps=20), problem)
    assert_same(got, trajectory(other, problem))


def test_one_step_of_powersign_by_hand() -> None:
    w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    w.grad = torch.tensor([0.1, 0.01], dtype=torch.float64)
    RuleOptimizer([w], POWERSIGN, lr=0.1).step()
    # both signs agree: w - 0.1 e g
    assert_same(w.detach().numpy(), [1 - 0.01 * np.e, 2 - 0.001 * np.e])


def test_each_parameter_has_random_numbers_of_its_own() -> None:
    rule = parse_rule("noise(1)")
    a, b = (torch.zeros(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b], "seed": 9}]
    optimizer = RuleOptimizer(groups, rule, lr=1.0)
    for step in range(3):
        a.grad, b.grad = torch.zeros_like(a), torch.zeros_like(b) if step != 1 else None
        optimizer.step()
    for w, index, seed, steps in ((a, 0, 0, 3), (b, 1, 9, 2)):
        interpreter = Interpreter(rule, seed=seed, parameter=index)
        assert_same(w.detach().numpy(), -sum(interpreter.step(np.zeros(4), np.zeros(4), 1.0) for _ in range(steps)))


@pytest.mark.parametrize("rule", ["drop(adam, 0.5)", "g / norm(g) + noise(0.1)"])
def test_the_layout_of_a_tensor_does_not_matter(rule: str) -> None:
    plain = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).requires_grad_()
    transposed = plain.detach().t().contiguous().t().requires_grad_()
    assert not transposed.is_contiguous()
    for w in [plain, transposed]:
        optimizer = RuleOptimizer([w], rule, lr=0.1)
        for step in range(3):
            w.grad = torch.sin(torch.arange(6.0, dtype=torch.float64).reshape(2, 3) + step)
            optimizer.step()
    assert_same(transposed.detach().numpy(), plain.detach().numpy())
