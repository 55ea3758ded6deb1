"""The decays f(t) of PowerSign and AddSign, and of the rule language's ld, cd and rd.

t is the number of steps done BEFORE the update (the first update sees 0) and is capped at T, the planned number of steps:

    linear   ld = 1 - t/T
    cosine   cd = 0.5 (1 + cos(2 pi n t/T)), n = 0.5 unless given; 0 once 2 n t/T >= 2 zero_after
    restart  rd = 0.5 (1 + cos(pi ((t n) mod T)/T)), n = 1 unless given; 0 once n t/T >= zero_after

At t = T the restart's mod wraps, so for an integer n it ends at 1, not 0; the authors' code does the same.

Source: Bello et al., ICML 2017, and the authors' `sign_decay.py` in tensorflow/contrib/opt.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from neuropt.optimizers.arguments import check_integer, check_number

SignDecay = Literal["linear", "cosine", "restart"]

PERIODS: dict[str, float] = {"cosine": 0.5, "restart": 1.0}
"""The number of periods n of the decays that have periods, unless it is given."""


def linear_decay(t: float, decay_steps: float) -> float:
    """Return 1 - t/T.

    Example:
        >>> linear_decay(250, decay_steps=1000)
        0.75
    """
    return 1.0 - min(t, decay_steps) / decay_steps


def cosine_decay(t: float, decay_steps: float, num_periods: float = 0.5, zero_after: float | None = None) -> float:
    """Return 0.5 (1 + cos(2 pi n t/T)), and 0 once 2 n t/T >= 2 zero_after.

    Example:
        >>> round(cosine_decay(500, decay_steps=1000), 6)
        0.5
    """
    fraction = 2.0 * num_periods * min(t, decay_steps) / decay_steps
    if zero_after is not None and fraction >= 2.0 * zero_after:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


def restart_decay(t: float, decay_steps: float, num_periods: float = 1.0, zero_after: float | None = None) -> float:
    """Return 0.5 (1 + cos(pi ((t n) mod T)/T)), and 0 once n t/T >= zero_after.

    Example:
        >>> restart_decay(500, decay_steps=1000, num_periods=2)
        1.0
    """
    t = min(t, decay_steps)
    if zero_after is not None and num_periods * t / decay_steps >= zero_after:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * ((t * num_periods) % decay_steps) / decay_steps))


def sign_decay_at(
    t: float,
    sign_decay: SignDecay | None,
    decay_steps: int | None,
    num_periods: float | None = None,
    zero_after: float | None = None,
) -> float:
    """Return f(t) by name; None is f = 1.

    Args:
        t: steps done before this update.
        sign_decay: None, "linear", "cosine" or "restart".
        decay_steps: the planned number of steps T, needed unless f = 1.
        num_periods: n; None is 0.5 for cosine and 1 for restart.
        zero_after: periods after which cosine and restart stay at 0.

    Example:
        >>> sign_decay_at(5, "linear", decay_steps=10)
        0.5
    """
    if sign_decay is None or decay_steps is None:
        return 1.0
    if sign_decay == "linear":
        return linear_decay(t, decay_steps)
    decay = cosine_decay if sign_decay == "cosine" else restart_decay
    return decay(t, decay_steps, PERIODS[sign_decay] if num_periods is None else num_periods, zero_after)


def check_sign_decay(
    owner: str, sign_decay: Any, decay_steps: Any, num_periods: Any = None, zero_after: Any = None
) -> None:
    """Refuse an unknown decay, one without its T, and periods for a decay that has none.

    Args:
        owner: the class, for the message.

    Raises:
        TypeError: for a value of another type.
        ValueError: naming the argument, the value and the cure.
    """
    if sign_decay not in (None, "linear", *PERIODS):
        valid = "None, 'linear', 'cosine' or 'restart'"
        raise ValueError(f"{owner}(sign_decay=...) must be {valid}, but got {sign_decay!r}.")
    if sign_decay is not None and decay_steps is None:
        raise ValueError(
            f"{owner}(sign_decay={sign_decay!r}) needs the planned number of steps, but got decay_steps=None; "
            f"pass decay_steps=..."
        )
    if decay_steps is not None:
        check_integer(f"{owner}(decay_steps=...)", decay_steps, low=1)
    for name, value in (("num_periods", num_periods), ("zero_after", zero_after)):
        if value is not None:
            check_number(f"{owner}({name}=...)", value, above_low=name == "num_periods")
            if sign_decay not in PERIODS:
                raise ValueError(
                    f"{owner}({name}={value!r}) needs sign_decay='cosine' or 'restart', "
                    f"but got sign_decay={sign_decay!r}."
                )
