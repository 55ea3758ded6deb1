"""Holm's correction of p-values for being several."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, so that one below .05 is wrong in at most 5 % of such families.

    p'_(i) = max_(j <= i) min(1, (m - j + 1) p_(j)),   p_(1) <= ... <= p_(m)

    >>> holm([0.01, 0.04, 0.03])  # 3 * .01; 2 * .03; the largest, 1 * .04, is not below the one before it
    [0.03, 0.06, 0.06]

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
