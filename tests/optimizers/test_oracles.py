"""PowerSign, AddSign and the decays against figures of the authors' tests; their trajectories are in `test_references`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from neuropt.optimizers import AddSign, PowerSign, cosine_decay, linear_decay, restart_decay
from neuropt.optimizers.sign_decay import sign_decay_at

PUBLISHED = 5e-12  # the table has twelve digits

# two parameters; the gradients are +0.1 and +0.01 for four steps, then the same negated for three
SEVEN_STEPS: list[tuple[type[PowerSign] | type[AddSign], dict[str, Any], str]] = [
    (
        PowerSign,
        {"lr": 0.1},
        ".972817181715 .945634363431 .918451545146 .891268726862 .894947521273 .898626315685 .925809133970",
    ),
    (PowerSign, {"lr": 0.1, "base": 10.0, "beta": 0.8}, ".9 .8 .7 .6 .601 .602 .702"),
    (
        PowerSign,
        {"lr": 0.1, "sign_decay": "linear", "decay_steps": 10},
        ".972817181715 .948221150604 .925965741319 .905828214244 .911316330605 .917381637202 .932299884179",
    ),
    (AddSign, {"lr": 0.1}, ".98 .96 .94 .92 .92 .92 .94"),
    (AddSign, {"lr": 0.01, "alpha": 0.1, "beta": 0.8}, ".9989 .9978 .9967 .9956 .9947 .9938 .9949"),
    (
        AddSign,
        {"lr": 0.1, "sign_decay": "linear", "decay_steps": 10},
        ".98 .961 .943 .926 .930 .935 .949",
    ),
]


def as_sparse(g: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(torch.arange(len(g)).unsqueeze(0), g, g.shape, check_invariants=True)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("factory", "hyper", "rows"), SEVEN_STEPS, ids=range(6))
def test_seven_steps(factory: Any, hyper: dict[str, Any], rows: str, sparse: bool) -> None:
    w0 = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    w1 = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    optimizer = factory([w0, w1], **hyper)
    for step, expected in enumerate(map(float, rows.split())):
        g0 = torch.full((2,), 0.1 if step < 4 else -0.1, dtype=torch.float64)
        w0.grad, w1.grad = (as_sparse(g) if sparse else g for g in (g0, g0 / 10))
        optimizer.step()
        assert w0[0].item() == pytest.approx(expected, abs=PUBLISHED)
        assert w0[1].item() == pytest.approx(expected + 1, abs=PUBLISHED)
        assert w1[0].item() == pytest.approx(3 + 0.1 * (expected - 1), abs=PUBLISHED)
        assert w1[1].item() == pytest.approx(4 + 0.1 * (expected - 1), abs=PUBLISHED)


TIMES = range(0, 1001, 100)


def test_linear_decay_of_a_thousand_steps() -> None:
    assert [linear_decay(t, 1000) for t in TIMES] == pytest.approx([1 - k / 10 for k in range(11)])


def test_cosine_decay_of_a_thousand_steps() -> None:
    table = "1 .975528 .904508 .793893 .654508 .5 .345492 .206107 .095492 .024472 0"
    assert [cosine_decay(t, 1000) for t in TIMES] == pytest.approx(list(map(float, table.split())), abs=5e-7)


def test_restart_decay_wraps_at_the_end() -> None:
    # one period: half a cosine from 1 towards 0, and 1 again at t = T, where the mod wraps
    assert [restart_decay(t, 1000) for t in TIMES[:-1]] == [cosine_decay(t, 1000) for t in TIMES[:-1]]
    assert restart_decay(1000, 1000) == 1.0
    # two periods: f(300) = f(800) = 0.5 (1 + cos(0.6 pi))
    two = [restart_decay(t, 1000, num_periods=2) for t in (0, 300, 500, 800, 1000)]
    assert two == pytest.approx([1, 0.345492, 1, 0.345492, 1], abs=5e-7)
    # half a period more than one: at T the mod leaves 0.5 T, so f = 0.5 (1 + cos(pi/2))
    assert restart_decay(1000, 1000, num_periods=1.5) == pytest.approx(0.5)


def test_decays_stay_where_they_are_after_the_planned_steps() -> None:
    for decay in (linear_decay, cosine_decay, restart_decay):
        assert decay(5000, 1000) == decay(1000, 1000)


def test_cosine_with_two_periods_comes_back() -> None:
    assert [cosine_decay(t, 1000, num_periods=2) for t in (0, 250, 500, 1000)] == pytest.approx([1, 0, 1, 1])


def test_zero_after_ends_the_periods() -> None:
    # cosine: 2 n t/T >= 2 zero_after; with n = 2, zero_after = 1: from t = 500 on
    assert cosine_decay(499, 1000, num_periods=2, zero_after=1) > 0.99
    assert cosine_decay(500, 1000, num_periods=2, zero_after=1) == 0
    # restart: n t/T >= zero_after; with n = 4, zero_after = 3: from t = 750 on
    assert restart_decay(500, 1000, num_periods=4, zero_after=3) == 1
    assert restart_decay(750, 1000, num_periods=4, zero_after=3) == 0


def test_default_periods_are_half_a_cosine_and_one_restart() -> None:
    assert sign_decay_at(300, "cosine", 1000) == cosine_decay(300, 1000, 0.5)
    assert sign_decay_at(300, "restart", 1000) == restart_decay(300, 1000, 1)
    assert sign_decay_at(300, None, 1000) == sign_decay_at(300, None, None) == 1
