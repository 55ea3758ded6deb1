"""Which trials an entry gets, on children whose merit is written down."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropt.evaluating.ladders import Ladder
from neuropt.evaluating.settings import read_settings
from neuropt.evaluating.tuning import Axis, Trial, Tuning, first_rates
from neuropt.training.children import Child
from tests.evaluating.fakes import trained


def tuned(peak: int, axes: tuple[Axis, ...] = (), budget: int | None = 9) -> Tuning:
    """Tuning where merit falls with the distance from one rung, and from 0.1 in every hyperparameter."""

    def of(trial: Trial) -> Child:
        away = sum(abs(value - 0.1) for _, value in trial.hyperparameters)
        return trained(trial.learning_rate, 1, accuracy=1.0 - abs(trial.rung - peak) / 100 - away / 1000)

    tuning = Tuning(Ladder("centred", 1.0), axes, budget, lambda child: child.accuracy or 0.0)
    while trials := tuning.next():
        for trial in trials:
            tuning.tell(trial, [of(trial)])
    return tuning


DECAY: Axis = ("weight_decay", (0.01, 0.0, 0.1))
BETA: Axis = ("beta2", (0.999, 0.95))


@settings(max_examples=30)
@given(st.integers(-9, 9), st.sampled_from([(), (DECAY,), (DECAY, BETA)]), st.integers(8, 15))
def test_everybody_gets_exactly_the_budget_and_no_trial_twice(peak: int, axes: tuple[Axis, ...], budget: int) -> None:
    tuning = tuned(peak, axes, budget)
    assert len(tuning.results) == budget
    settings_of = {(trial.rung, trial.hyperparameters) for trial in tuning.results}
    assert len(settings_of) == budget


@pytest.mark.parametrize(
    ("peak", "best", "edge"),
    [(0, 0, False), (3, 3, False), (4, 4, False), (5, 5, True), (9, 5, True), (-4, -4, False), (-9, -5, True)],
)
def test_the_last_trials_go_beyond_the_edge_that_is_nearer(peak: int, best: int, edge: bool) -> None:
    # nine trials: rungs -3 .. 3, then two beyond the nearer edge; the best of -3 .. 5 or of -5 .. 3
    tuning = tuned(peak)
    assert (tuning.best.rung, tuning.edge) == (best, edge)
    rungs = sorted(trial.rung for trial in tuning.results)
    assert rungs == list(range(rungs[0], rungs[0] + 9)), "no gap"


def test_hyperparameters_are_tuned_at_the_best_learning_rate_one_after_the_other() -> None:
    tuning = tuned(1, (DECAY, BETA), budget=9)
    assert dict(tuning.best.hyperparameters) == {"weight_decay": 0.1, "beta2": 0.95}
    trials = list(tuning.results)
    assert [dict(t.hyperparameters)["weight_decay"] for t in trials[-3:]] == [0.0, 0.1, 0.1]
    assert {t.rung for t in trials[-3:]} == {1}
    assert {t.hyperparameters for t in trials[:-3]} == {(("weight_decay", 0.01), ("beta2", 0.999))}


def test_a_budget_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="trials must be at least 8 to tune weight_decay and beta2, but got 7"):
        first_rates(7, (DECAY, BETA))


def test_learning_rates_are_ones_and_threes_around_the_centre() -> None:
    # scale 0.05: the middle is 10^-2.5 / 0.05 = 0.063, of which 0.1 is 0.2 decades away and 0.03 is 0.32
    assert [Ladder("centred", 0.05).rate(i) for i in (-2, -1, 0, 1)] == [0.01, 0.03, 0.1, 0.3]


@given(st.floats(1e-12, 1e12), st.integers(-5, 5))
def test_every_rung_is_one_or_three_times_a_power_of_ten_next_to_the_scaled_one(scale: float, rung: int) -> None:
    rate = Ladder("centred", scale).rate(rung)
    mantissa = f"{rate:.6e}"[0]
    assert mantissa in "13"
    assert rate == float(f"{mantissa}e{f'{rate:.6e}'.split('e')[1]}")
    assert abs(math.log10(rate) - math.log10(10.0 ** (rung / 2 - 2.5) / scale)) < 0.3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adamw(beta2=much)", "beta2 must be a finite number, but got 'much'"),
        ("adamw(beta2=0.9, beta2=0.8)", "names beta2 twice"),
        ("adamw(beta2=0.9|0.9)", "gives beta2 one value twice"),
        ("adamw(beta2=0.9, 3)", "must hold NAME=VALUE or NAME=VALUE|VALUE between commas, but got '3'"),
    ],
)
def test_values_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("|", r"\|")):
        read_settings(text)


@pytest.mark.parametrize(
    "text", ["g", "sign(g)", "ema(g, beta)", "m = ema(g, 0.9); u = sign(m)", "RUN:1", "where(g == m, g, 0)"]
)
def test_rules_are_no_settings(text: str) -> None:
    assert read_settings(text) is None
