"""Dolan and More's performance profile: on which share of the tasks an entry needs at most tau times what the best one needs."""

from __future__ import annotations

import math
from collections.abc import Sequence


def performance_profile(costs: Sequence[Sequence[float]], taus: Sequence[float]) -> list[list[float]]:
    """Return the share of tasks at each tau, a row an entry.

    rho_s(tau) = |{p : c_ps <= tau min_s c_ps}| / |tasks|

    Args:
        costs: a row a task, a column an entry; positive, infinite where it failed. Where all failed, nobody is counted.
        taus: 1 or more.

    Raises:
        ValueError: a cost that is not positive, of which no multiple means anything.

    >>> performance_profile([[10.0, 30.0], [20.0, 10.0], [math.inf, 5.0]], taus=[1.0, 2.0, 4.0])
    [[0.3333333333333333, 0.6666666666666666, 0.6666666666666666], [0.6666666666666666, 0.6666666666666666, 1.0]]

    Source: Dolan and More, "Benchmarking optimization software with performance profiles", Mathematical Programming 91, 2002.
    """
    if not all(cost > 0 for row in costs for cost in row):
        raise ValueError("performance_profile(costs=...) must be positive, such as steps to a target")
    best = [min(row) for row in costs]
    solved = [(row, least) for row, least in zip(costs, best, strict=True) if math.isfinite(least)]
    return [
        [sum(row[entry] <= tau * least for row, least in solved) / len(costs) for tau in taus]
        for entry in range(len(costs[0]))
    ]
