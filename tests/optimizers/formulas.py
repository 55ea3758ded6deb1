"""The published formulas in a few lines of numpy each, written apart from the classes that they check.

A formula takes (g, w, t from 1, lr) and returns the new w; it remembers what it needs. Hyperparameters have the classes' names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Step = Callable[[Array, Array, int, float], Array]


def zero() -> Array:
    return np.zeros(())


def sgd(momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> Step:
    buf = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal buf
        g = g + weight_decay * w
        buf = momentum * buf + g
        return w - lr * (g + momentum * buf if nesterov else buf)

    return step


def adam(
    betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0, hat: bool = False
) -> Step:
    m = zero()
    v = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m, v
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        first, second = 1 - betas[0] ** t, 1 - betas[1] ** t
        moved: Array = w - (
            lr * math.sqrt(second) / first * m / (np.sqrt(v) + eps)
            if hat
            else lr * (m / first) / (np.sqrt(v / second) + eps)
        )
        return moved

    return step


def adam_eps_hat(eps: float = 1e-7, **hyper: Any) -> Step:
    return adam(eps=eps, hat=True, **hyper)


def rmsprop_eps_inside(
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    initial_accumulator: float = 0.0,
) -> Step:
    v = zero() + initial_accumulator
    gbar = zero()
    buf = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal v, gbar, buf
        g = g + weight_decay * w
        v, gbar = alpha * v + (1 - alpha) * g**2, alpha * gbar + (1 - alpha) * g
        spread = np.maximum(v - gbar**2, 0) if centered else v
        buf = momentum * buf + g / np.sqrt(spread + eps)
        return w - lr * buf

    return step


def sgdw(
    momentum: float = 0.9, weight_decay: float = 1e-2, nesterov: bool = False, decay: str = "lr", base: float = 1e-3
) -> Step:
    buf = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal buf
        buf = momentum * buf + g
        shrink = lr if decay == "lr" else lr / base
        return w - lr * (g + momentum * buf if nesterov else buf) - shrink * weight_decay * w

    return step


def restarts(
    inner: Step, weight_decay: float = 0.025, T_0: int = 7, T_mult: int = 1, eta_min: float = 0.0, base: float = 1e-3
) -> Step:
    """The paper's multiplier around a step without decay, with periods that are counted out one step at a time."""
    done, length = 0, T_0

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal done, length
        if done == length:
            done, length = 0, length * T_mult
        eta = eta_min + 0.5 * (1 - eta_min) * (1 + math.cos(math.pi * done / length))
        done += 1
        # lambda of one example a batch and `length` epochs of one batch: lambda_norm sqrt(b / (B T_i))
        decay = weight_decay * math.sqrt(1 / (1 * length))
        return w + eta * (inner(g, w, t, lr) - w) - eta * lr / base * decay * w

    return step


RESTARTS = ("weight_decay", "T_0", "T_mult", "eta_min", "base")


def adamwr(**hyper: Any) -> Step:
    own = {name: value for name, value in hyper.items() if name in RESTARTS}
    return restarts(adam(**{name: value for name, value in hyper.items() if name not in own}), **own)


def sgdwr(momentum: float = 0.9, nesterov: bool = False, **hyper: Any) -> Step:
    return restarts(sgd(momentum, nesterov=nesterov), **hyper)


def yogi(
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-3,
    weight_decay: float = 0.0,
    initial_accumulator: float = 1e-6,
    initial_momentum: float | None = None,
) -> Step:
    m = zero() + (initial_accumulator if initial_momentum is None else initial_momentum)
    v = zero() + initial_accumulator

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m, v
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = v - (1 - betas[1]) * np.sign(v - g**2) * g**2
        moved: Array = w - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        return moved

    return step


def lion(betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0) -> Step:
    m = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m
        u = np.sign(betas[0] * m + (1 - betas[0]) * g)
        m = betas[1] * m + (1 - betas[1]) * g
        return w * (1 - lr * weight_decay) - lr * u

    return step


def adabound(
    betas: tuple[float, float] = (0.9, 0.999),
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    base: float = 1e-3,
    ams: bool = False,
) -> Step:
    m = zero()
    v = zero()
    largest = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m, v, largest
        g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        largest = np.maximum(largest, v)
        rate = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t) / (np.sqrt(largest if ams else v) + eps)
        final = final_lr * lr / base
        low, high = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
        moved: Array = w - np.minimum(np.maximum(rate, low), high) * m
        return moved

    return step


def amsbound(**hyper: Any) -> Step:
    return adabound(**hyper, ams=True)


def adagraft(
    magnitude: Step, direction: Step, magnitude_lr: float, direction_lr: float, eps: float, sizes: list[int]
) -> Step:
    """Norms of each of the tensors that w is cut into by `sizes`; one size is the global norm."""
    ends = np.cumsum(sizes)[:-1]

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        long, short = magnitude(g, w, t, magnitude_lr) - w, direction(g, w, t, direction_lr) - w
        parts = zip(np.split(long, ends), np.split(short, ends), strict=True)
        return w + lr * np.concatenate([np.linalg.norm(m) / (np.linalg.norm(d) + eps) * d for m, d in parts])

    return step


def decay_of(t: int, kind: str | None, T: int, n: float | None, zero_after: float | None) -> float:
    """f of PowerSign and AddSign, t the steps done before."""
    t = min(t, T)
    if kind == "linear":
        return 1 - t / T
    if kind == "cosine":
        n = 0.5 if n is None else n
        ended = zero_after is not None and 2 * n * t / T >= 2 * zero_after
        return 0 if ended else 0.5 * (1 + math.cos(2 * math.pi * n * t / T))
    if kind == "restart":
        n = 1.0 if n is None else n
        ended = zero_after is not None and n * t / T >= zero_after
        return 0 if ended else 0.5 * (1 + math.cos(math.pi * ((t * n) % T) / T))
    return 1


def sign_momentum(
    scale: Callable[[Array], Array],
    beta: float = 0.9,
    weight_decay: float = 0.0,
    sign_decay: str | None = None,
    decay_steps: int = 10,
    num_periods: float | None = None,
    zero_after: float | None = None,
) -> Step:
    m = zero()

    def step(g: Array, w: Array, t: int, lr: float) -> Array:
        nonlocal m
        g = g + weight_decay * w
        m = beta * m + (1 - beta) * g
        f = decay_of(t - 1, sign_decay, decay_steps, num_periods, zero_after)
        return w - lr * scale(f * np.sign(g) * np.sign(m)) * g

    return step


def powersign(base: float = math.e, **hyper: Any) -> Step:
    return sign_momentum(lambda agreement: np.exp(math.log(base) * agreement), **hyper)


def addsign(alpha: float = 1.0, **hyper: Any) -> Step:
    return sign_momentum(lambda agreement: alpha + agreement, **hyper)
