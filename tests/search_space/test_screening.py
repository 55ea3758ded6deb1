from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search_space import Trajectory, expand, negate, parse_rule, run, screen, zoo
from search_space.screening import LEAST_COSINE

RECORDED = Path(__file__).parents[1] / "data" / "digits_gradients.npz"


def recorded() -> Trajectory:
    with np.load(RECORDED) as arrays:
        return Trajectory(arrays["gradients"], arrays["weights"])


# exp(g) - exp(mhat) is about g minus its own average: it vanishes where the gradient is steady, so no quadratic goes down
# SGDWR's decay is for lr = base_lr = 1e-3: at the quadratic's larger rates it pulls the weights to 0, away from the minimum
PASSING = sorted(zoo().keys() - {"bello-15", "sgdwr"})


@pytest.mark.parametrize("name", PASSING)
def test_known_rules_pass_on_recorded_gradients(name: str) -> None:
    found = screen(zoo()[name], recorded())
    assert (found.accepted, found.reason, found.sign) == (True, None, 1)
    assert found.scale > 0.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e-3 * w", "does not use the gradient"),
        ("noise(1)", "does not use the gradient"),
        ("ld", "does not use the gradient"),
        ("w + 0 * g", "does not use the gradient"),
        ("w + sign(g) * sign(g) - (g != 0)", "does not use the gradient"),
        ("1 / (g - g)", "does not use the gradient"),
        ("log(g)", "not finite on the trajectory"),
        ("exp(1 / (abs(g) + 1e-9))", "not finite on the trajectory"),
        ("prev(u) * 4 + g", "explodes on the trajectory"),
        ("g / (abs(g) * 1e-13 + 1e-20)", "explodes on the trajectory"),
        ("drop(sign(g), 0.5) * noise(1)", "does not follow the gradient"),
        ("noise(1) + 1e-9 * g", "does not follow the gradient"),
        ("2 + exp(g)", "does not descend a quadratic"),
        ("g - mhat", "does not descend a quadratic"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    found = screen(parse_rule(text), recorded())
    assert not found.accepted
    assert found.reason == reason


@pytest.mark.parametrize(
    "text", ["g", "m", "sign(g)", "adam + 1e-1 * w", "drop(adam, 0.3) + 1e-1 * w", "g * ld", "g / norm(g)"]
)
def test_a_rule_and_its_negative_pass_with_opposite_signs(text: str) -> None:
    rule, trajectory = parse_rule(text), recorded()
    found, opposite = screen(rule, trajectory), screen(negate(rule), trajectory)
    assert found.accepted
    assert opposite.accepted
    assert (found.sign, opposite.sign) == (1, -1)
    assert opposite.scale == pytest.approx(found.scale)
    assert opposite.cosine == pytest.approx(-found.cosine)


def test_the_quadratic_begins_as_the_rule_does() -> None:
    # moves at its first step only, where norm(1 + prev(y)) is sqrt(256) on the trajectory and sqrt(16) on the quadratic: uphill on both
    found = screen(parse_rule("y = g; u = (t == 0) * (3 - norm(1 + prev(y))) * g"), recorded())
    assert found.accepted
    assert found.sign == -1


def test_cosine_and_scale_are_those_of_the_update() -> None:
    # cos(g, (1, 1)) for g = (1, 0) and (0, 2): 1/sqrt(2) at both steps; mean |u| of (1, 1) is 1
    trajectory = Trajectory(np.array([[1.0, 0.0], [0.0, 2.0]]), np.ones((2, 2)))
    found = screen(parse_rule("g * 0 + 1 + 1e-9 * g"), trajectory)
    assert found.cosine == pytest.approx(2**-0.5, rel=1e-6)
    assert found.scale == pytest.approx(1.0)
    assert LEAST_COSINE == 0.02


def test_huge_updates_do_not_overflow_the_cosine() -> None:
    found = screen(parse_rule("1e11 * g / (abs(g) + 1e-3)"), recorded())
    assert found.accepted
    assert 0.0 < found.cosine < 1.0


def test_the_synthetic_trajectory_is_the_default() -> None:
    assert screen(parse_rule("g")).cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("g", "-g"),
        ("-g", "g"),
        ("w - g", "g - w"),
        ("2 * g", "-2 * g"),
        ("-(g * w)", "g * w"),
        ("a = g * w; u = a * a", "a = g * w\nu = -(a * a)"),
        ("0.9 * prev(u) + g", "u_1 = 0.9 * prev(u_1) + g\nu = -u_1"),
        ("drop(g, 0.1)", "-drop(g, 0.1)"),
    ],
)
def test_negatives_print_nicely(text: str, negated: str) -> None:
    assert negate(parse_rule(text)).text == negated


@pytest.mark.parametrize("name", sorted(zoo()))
def test_negated_rules_move_the_other_way(name: str) -> None:
    gradients = np.random.default_rng(0).normal(size=(5, 4))
    forward = run(zoo()[name], gradients, np.zeros(4), lr=0.1, decay_steps=5)
    opposite = run(negate(expand(zoo()[name])), gradients, np.zeros(4), lr=-0.1, decay_steps=5)
    np.testing.assert_array_equal(forward, opposite)
