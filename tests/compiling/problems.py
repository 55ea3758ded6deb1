"""The three problems on which every form of a rule is compared: each is a start and a gradient for each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from search_space import Interpreter, Rule
from search_space.primitives import Array


@dataclass(frozen=True)
class Problem:
    """A start, and the gradient at (parameter, step)."""

    name: str
    start: Array
    gradient: Callable[[Array, int], Array]


def _rosenbrock(w: Array, _: int) -> Array:
    """Gradient of (1 - x)^2 + 100 (y - x^2)^2."""
    x, y = w
    with np.errstate(all="ignore"):  # a diverged parameter has a gradient too
        return np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])


_CURVATURES = np.logspace(0, 4, 10)
_EDGES = np.array(
    [
        [0.0, 1.0, -1.0, 1e-12, 1e3, 0.31],
        [0.0, -1.0, -1.0, -1e-12, -1e3, -0.82],
        [0.0, 1.0, 0.0, 1e-12, 1e3, 0.55],
        [0.0, -0.5, 0.7, 0.0, -1e-12, 1.41],
        [0.0, 0.6, -0.9, 1e3, 0.0, -0.13],
    ]
)

ROSENBROCK = Problem("rosenbrock", np.array([-1.5, 2.0]), _rosenbrock)
QUADRATIC = Problem("quadratic", np.linspace(-1.0, 2.0, 10), lambda w, _: _CURVATURES * w)
SEQUENCE = Problem("sequence", np.linspace(-2.0, 2.0, 6), lambda _, step: _EDGES[step % len(_EDGES)] * 0.93**step)
PROBLEMS = [ROSENBROCK, QUADRATIC, SEQUENCE]


def start(problem: Problem) -> list[Tensor]:
    """Return the parameter at its start, for an optimizer."""
    return [torch.tensor(problem.start, requires_grad=True)]


def path(optimizer: Optimizer, problem: Problem, steps: int) -> Array:
    """Return where an optimizer's one parameter is after each step: (steps, elements)."""
    (w,) = optimizer.param_groups[0]["params"]
    places = []
    for step in range(steps):
        w.grad = torch.from_numpy(np.array(problem.gradient(w.detach().numpy(), step)))
        optimizer.step()
        places.append(w.detach().numpy().copy())
    return np.stack(places)


def learning_rate(rule: Rule, problem: Problem, steps: int, decay_steps: int | None) -> float:
    """Return the largest power of ten at which the reference stays where the problem is tame, and does not magnify round-off."""
    lr = 1.0
    for _ in range(15):
        lr /= 10
        one, other = (end(rule, problem, w, lr, steps, decay_steps) for w in (problem.start, problem.start + NEAR))
        if np.all(np.abs(one) < 10) and np.all(np.abs(one - other) < 100 * NEAR):
            return lr
    return lr


NEAR = 1e-10


def end(rule: Rule, problem: Problem, w: Array, lr: float, steps: int, decay_steps: int | None) -> Array:
    """Return where the reference is after some steps from `w`."""
    interpreter = Interpreter(rule, decay_steps=decay_steps)
    with np.errstate(all="ignore"):
        for step in range(steps):
            w = w - lr * interpreter.step(problem.gradient(w, step), w, lr)
    return w
