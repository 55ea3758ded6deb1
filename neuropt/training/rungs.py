"""Rungs: at some shares of its budget a rule is compared with others, and one that loses is trained no further.

    T = 300 steps, eta = 3:    rungs after 33 and 100 steps; about a third of the rules goes on from each (successive halving, ASHA)

A cohort is evaluated on validation data at each rung; who goes on is decided by a judge (`neuropt.searching.fidelity`).

Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification" (successive halving); Li et al. 2020, "A system for massively
parallel hyperparameter tuning" (ASHA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neuropt.training.children import Child

ETA = 3
"""From each rung about 1 rule in ETA goes on."""
RUNGS = 2
"""Rungs below the whole budget; the first is at 1 / ETA^2 of it."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """Where rules are compared, and by what.

    Args:
        steps: after which a cohort is evaluated.
        reward: what is compared: validation accuracy, or minus log of validation loss.
        asynchronous: whether the search decides, among all rules that were there before (ASHA), and not the cohort alone.
    """

    steps: tuple[int, ...]
    reward: Literal["accuracy", "loss"] = "accuracy"
    asynchronous: bool = False


def rung_steps(steps: int) -> tuple[int, ...]:
    """Return after how many of `steps` steps rules are compared.

    round(steps / 9), round(steps / 3)

    >>> rung_steps(300), rung_steps(3), rung_steps(1)
    ((33, 100), (1,), ())
    """
    found = {round(steps / ETA**power) for power in range(1, RUNGS + 1)}
    return tuple(sorted(step for step in found if 0 < step < steps))


@dataclass(frozen=True, slots=True)
class Rung:
    """What a rule had come to at a rung.

    Args:
        steps: that its children had done.
        children: [learning rate][seed], those that were still training, as if their budget had ended here.
    """

    steps: int
    children: tuple[tuple[Child, ...], ...]
