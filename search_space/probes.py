"""Fixed synthetic histories of gradients and parameters, on which two rules that differ show it.

    g[t, s, e] = 10^s z[t, s, e]        z of both signs, with zeros; t = 0..11, s = -5..2, e = 0..7
    w[t, s, e] ~ N(0, 0.5)              not proportional to g; t/T runs from 0 past 1

Each scale s is a tensor of its own, with its own draws: that way `clip(g, 1e-5)` and `sign(g)`, which agree on large gradients, differ
on small ones, and norms see one scale at a time. Elements e and e + 4 share their parameters and draws and differ in their gradients,
so a rule whose update is equal on both does not use g.

Everything comes from `draws`, so the probes are the same integers on every machine.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from search_space import draws
from search_space.primitives import Array
from search_space.trajectory import Values

STEPS, ELEMENTS = 12, 8
EXPONENTS = tuple(range(-5, 3))
PLANNED_STEPS = 7.25
"""T: probes run past it, and cd(n) with different whole n differ at whole t."""
_SHAPE = (STEPS, len(EXPONENTS), ELEMENTS)
_SEED = 2017


def _repeated(kind: str, purpose: int, number: int) -> Array:
    """Return random numbers that elements e and e + 4 share."""
    source = draws.normal if kind == "normal" else draws.uniform
    half = source(STEPS * len(EXPONENTS) * (ELEMENTS // 2), _SEED, purpose, number, 0)
    half = half.reshape(STEPS, len(EXPONENTS), ELEMENTS // 2)
    return np.concatenate([half, half], axis=-1)


def gradients() -> Array:
    """Return g, (steps, scales, elements)."""
    z = draws.normal(int(np.prod(_SHAPE)), _SEED, 1, 0, 0).reshape(_SHAPE)
    drift = draws.normal(_SHAPE[1] * _SHAPE[2], _SEED, 2, 0, 0).reshape(_SHAPE[1:])
    z = z + 0.7 * drift  # so that most averages keep a sign, and some change it
    z[0, :, 0::4] = z[1, :, 0::4] = 0.0  # nothing seen yet: averages are 0 too
    z[4, :, 1::4] = z[7, :, 2::4] = z[8, :, 2::4] = 0.0
    return z * 10.0 ** np.array(EXPONENTS, np.float64)[:, None]


@cache
def probe_values() -> Values:
    """Return the values of rules on the probes; made at first use."""
    t = np.arange(STEPS, dtype=np.float64)[:, None, None]
    w = 0.5 * _repeated("normal", 3, 0) + 0.1
    # a learning rate that changes, so that lr * g is not g up to a factor
    inputs = {"g": gradients(), "w": w, "t": t, "T": PLANNED_STEPS, "lr": 0.1 / (1.0 + 0.3 * t)}
    return Values(inputs, lambda kind, number: _repeated(kind, 4 if kind == "normal" else 5, number))


@cache
def groups() -> tuple[NDArray[np.int_], ...]:
    """Return flat indices of the entries that are judged together, each (scales, entries): g not 0; g = 0 after gradients; g = 0 before.

    They are kept apart because 1/(g + 1e-8) is a hundred million where g is 0, beside which nothing else would be seen.
    """
    g = gradients()
    seen = np.cumsum(g != 0.0, axis=0) > 0
    place = np.arange(g.size).reshape(g.shape)
    kinds = (g != 0.0, (g == 0.0) & seen, ~seen)
    return tuple(np.stack([place[:, s][kind[:, s]] for s in range(len(EXPONENTS))]) for kind in kinds)
