"""A few recorded steps of a rule, which an exported file replays to test itself.

    GRADIENTS (10 steps, 3 elements)  ->  numpy interpreter, float64  ->  parameters after each step

The gradients flip their signs, vanish, and reach from 1e-3 to 1e1. Where the result of a step hangs on the last bit of a gradient, as
`sign(g - 10 * m)` may, another machine could take the other branch, so the recording ends before that step. Bits are those of the
precision that the file replays it in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space import Interpreter, Rule

START = (1.0, -0.5, 2.0)
GRADIENTS = (
    (0.31, -1.27, 0.0),
    (-0.82, -0.64, 0.0),
    (0.55, 0.93, 0.017),
    (1.41, -0.22, -2.9),
    (-0.13, -3.7, 0.48),
    (0.0, 0.071, 9.2),
    (0.26, 0.39, -0.0031),
    (-1.9, 0.0, 0.77),
    (0.47, -0.58, 1.3),
    (0.66, 2.4, -0.35),
)
DECAY_STEPS = 8
SEED = 7
LARGEST = 1e6
ATTEMPTS = 12

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Precision:
    """Of the numbers that a recording is replayed in.

    Args:
        nudges: relative changes of gradients and of first parameters, as large as what rounding does to a rule that is well behaved.
        tolerance: within which steps must stay the same under it, narrower than that of the replay.
    """

    nudges: tuple[tuple[float, float], ...]
    tolerance: float


DOUBLE = Precision(((2.0**-51, 0.0),), 1e-10)
# 1 - 0.999 ** (t + 1), as of vhat, has ten bits less than single precision at t = 0
SINGLE = Precision(((2.0**-14, -(2.0**-14)), (-(2.0**-14), 2.0**-14)), 3e-4)


@dataclass(frozen=True, slots=True)
class Recording:
    """Parameters of a rule after each step.

    Args:
        lr: at which it ran: the one asked for, or that over a power of ten which keeps the parameters below 1e6.
        gradients: (steps, 3).
        parameters: (steps, 3).
    """

    lr: float
    gradients: tuple[tuple[float, ...], ...]
    parameters: tuple[tuple[float, ...], ...]


def record(rule: Rule, lr: float, precision: Precision = DOUBLE) -> Recording:
    """Run a rule on the gradients above.

    Args:
        rule: any.
        lr: that is asked for.
        precision: of the replay; steps that hang on the last bits of a gradient there are left out.

    >>> from search_space import parse_rule
    >>> record(parse_rule("g"), 1.0).parameters[0]
    (0.69, 0.77, 2.0)
    """
    asked = lr
    path = _path(rule, lr)
    for attempt in range(ATTEMPTS):
        if np.all(np.abs(path) <= LARGEST):
            break
        lr = asked / 10 ** (attempt + 1)
        path = _path(rule, lr)
    nudged = np.stack([_path(rule, lr, *nudge) for nudge in precision.nudges])
    close = np.isclose(path, nudged, rtol=precision.tolerance, atol=precision.tolerance, equal_nan=True)
    same = close.all(axis=(0, 2))
    steps = len(path) if same.all() else int(np.argmin(same))
    return Recording(lr, GRADIENTS[:steps], tuple(tuple(row.tolist()) for row in path[:steps]))


def _path(rule: Rule, lr: float, of_gradients: float = 0.0, of_start: float = 0.0) -> Array:
    interpreter = Interpreter(rule, decay_steps=DECAY_STEPS if rule.reads("T") else None, seed=SEED)
    w, path = np.array(START) * (1 + of_start), []
    with np.errstate(all="ignore"):
        for g in np.array(GRADIENTS) * (1 + of_gradients):
            w = w - lr * interpreter.step(g, w, lr)
            path.append(w)
    return np.stack(path)
