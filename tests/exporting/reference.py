"""What exported code is compared with: the interpreter on the three problems."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_space import Interpreter, Rule, zoo
from tests.compiling.problems import Problem, learning_rate

STEPS, DECAY_STEPS = 30, 24
LARGEST = 1e6
PYTHON = ("torch", "python", "optax", "keras")
"""Targets that are Python files."""
ALL = zoo()
Array = NDArray[np.float64]


def planned(rule: Rule) -> dict[str, Any]:
    """Return decay_steps for a rule that reads T."""
    return {"decay_steps": DECAY_STEPS} if rule.reads("T") else {}


def rate(rule: Rule, problem: Problem) -> float:
    """Return a learning rate at which the reference stays where the problem is tame."""
    return learning_rate(rule, problem, STEPS, planned(rule).get("decay_steps"))


def reference(rule: Rule, problem: Problem, lr: float) -> Array:
    """Return where the interpreter is after each step: (steps, elements), up to where it hangs on the last bit of a gradient."""
    with np.errstate(all="ignore"):
        one, other = (_path(rule, problem, lr, nudge) for nudge in (1.0, 1 + 2.0**-51))
        close = np.isclose(one, other, rtol=1e-10, atol=1e-10, equal_nan=True)
        same = np.all(close & ~((np.abs(one) > LARGEST) & np.isfinite(one)), axis=1)
    path: Array = one[: len(one) if same.all() else int(np.argmin(same))]
    return path


def _path(rule: Rule, problem: Problem, lr: float, nudge: float) -> Array:
    interpreter, w, path = Interpreter(rule, **planned(rule)), problem.start, []
    for step in range(STEPS):
        w = w - lr * interpreter.step(problem.gradient(w, step) * nudge, w, lr)
        path.append(w)
    return np.stack(path)
