"""What one call writes into rows."""

from __future__ import annotations

import math

import pytest
import torch

from neuropt.training.operations import calling
from neuropt.training.train import whole_float32
from tests.training.cohorts import DIGITS, curves, parsed, population

LEAST = 2.0**-126
"""The least normal number of float32."""


def sign(xs: list[float]) -> list[float]:
    out = torch.empty(len(xs))
    calling("sign", [torch.tensor(xs)], out)(0)
    return out.tolist()


def test_sign_is_exact_from_the_least_normal_number_to_infinity_and_keeps_nan() -> None:
    xs, wanted = [0.0, LEAST, -LEAST, 1e-3, -3e38, math.inf, -math.inf], [0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]
    assert sign(xs) == wanted
    assert sign([2.0**-149, -(2.0**-149)]) == [1.0, -1.0]
    assert math.isnan(sign([math.nan])[0])
    with whole_float32():
        assert sign(xs) == wanted
        assert math.isnan(sign([math.nan])[0])


def test_average_of_gradients_is_the_recurrence() -> None:
    """Under lr 0 the gradient is the same in every step: m_t = (1 - 0.9^t) g of a full batch, so u = m / (1 - 0.9^t) - g is 0."""
    rule = "m = 0.9 * prev(m) + 0.1 * g; u = m / (1 - 0.9 ** (t + 1)) - g"
    task = DIGITS.with_budget(3)
    cohort = population(parsed([rule]), [[0.0]], [1], task, torch.float64)
    cohort.orders = [cohort.orders[0][:1].repeat(3, 1)]  # one batch three times
    curves(cohort, 3)
    assert float(cohort.updates.abs().max()) == pytest.approx(0.0, abs=1e-15)
    assert float(cohort.gradients.abs().max()) > 1e-3
