"""The protocol, on children that are written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from neuropt.config import Grid, Reward
from neuropt.evaluating.contenders import find_contender
from neuropt.evaluating.protocol import Protocol, Study, fresh_seeds, run_protocol
from neuropt.evaluating.row import Row, ordered
from neuropt.tasks import get_task, load_task_data
from neuropt.training.children import Child
from neuropt.training.learning_rates import PAPER
from neuropt.training.recording import SEED
from neuropt.training.work import Job
from tests.evaluating.fakes import Outcome, WrittenExecutor, diverged, trained

TASK = get_task("digits-mlp")
DATA = load_task_data(TASK)
TUNE, REPORT = (1, 2, 3), (11, 12, 13, 14)


def studied(
    outcome: Outcome, *names: str, reward: Reward = "accuracy", grid: Grid = "paper"
) -> tuple[list[Study], list[Row], WrittenExecutor]:
    executor = WrittenExecutor(outcome)
    protocol = Protocol(TUNE, REPORT, reward, grid)
    studies = run_protocol([find_contender(n) for n in names or ("adam",)], TASK, DATA, executor, protocol)
    return studies, [study.row(TASK, protocol) for study in studies], executor


def tried(study: Study) -> list[float]:
    """The learning rates of all trials, the lowest first."""
    assert study.tuning is not None
    return sorted(trial.learning_rate for trial in study.tuning.results)


def best_at(peak: float) -> Callable[[Job, float, int], Child]:
    """Validation is best at one learning rate; the test split would say the opposite."""

    def outcome(job: Job, rate: float, seed: int) -> Child:
        distance = abs(math.log10(rate / peak))
        return trained(rate, seed, accuracy=0.9 - distance / 50, test_accuracy=0.1 + distance / 50)

    return outcome


def test_validation_chooses() -> None:
    (study,), (row,), _ = studied(best_at(1e-2))
    assert row.learning_rate == pytest.approx(1e-2)
    assert tried(study) == pytest.approx(PAPER)
    assert (row.edge, row.rates, row.tune_seeds, row.n, row.diverged) == (False, 7, 3, 4, 0)
    assert row.accuracy is not None
    assert row.accuracy.median == pytest.approx(0.9)


def test_a_tie_goes_to_the_lower_loss() -> None:
    _, (row,), _ = studied(lambda job, rate, seed: trained(rate, seed, 0.9, loss=0.1 if rate == PAPER[4] else 0.2))
    assert row.learning_rate == PAPER[4]


def test_the_loss_may_choose() -> None:
    _, (row,), _ = studied(
        lambda job, rate, seed: trained(rate, seed, accuracy=rate, loss=0.5 + abs(math.log10(rate) + 3)), reward="loss"
    )
    assert row.learning_rate == pytest.approx(1e-3)
    assert row.validation is not None
    assert row.validation.median == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("peak", "chosen", "rates", "edge"),
    [
        (10.0, 10.0, 8, False),  # one step beyond shows that the best is inside
        (100.0, 100.0, 9, False),
        (1e9, 1000.0, 9, True),
        (10.0**-6, 10.0**-6, 9, False),
        (10.0**-9, 10.0**-7, 9, True),
    ],
)
def test_the_grid_is_extended_at_its_edge(peak: float, chosen: float, rates: int, edge: bool) -> None:
    _, (row,), executor = studied(best_at(peak))
    assert row.learning_rate == pytest.approx(chosen)
    assert (row.rates, row.edge) == (rates, edge)
    assert all(set(work.seeds) == set(TUNE) for work in executor.works[:-1])


def test_the_scaled_grid_is_extended_in_its_own_half_decades() -> None:
    (study,), (row,), _ = studied(best_at(1e9), grid="scaled")
    rates = tried(study)
    assert row.rates == 9
    assert [b / a for a, b in pairwise(rates)] == pytest.approx([10**0.5] * 8)


def test_all_contenders_get_the_same_budget() -> None:
    _, rows, executor = studied(best_at(1e-2), "adam", "sgd", "adabound", "g * 3")
    assert {(row.rates, row.n) for row in rows} == {(7, 4)}
    tuning = [work for work in executor.works if not work.test]
    assert sum(len(job.learning_rates) for work in tuning for job in work.jobs) == 4 * 7


def test_nobody_is_stopped_early_and_test_is_looked_at_once() -> None:
    _, _, executor = studied(best_at(1e-2), "adam", "adabound")
    assert not any(work.halving for work in executor.works)
    for work in executor.works:
        assert work.seeds == (REPORT if work.test else TUNE)
        assert not work.test or all(len(job.learning_rates) == 1 for job in work.jobs)


def test_rules_of_a_batched_task_share_a_work() -> None:
    _, _, executor = studied(best_at(1e-2), "adam", "sgd", "adabound")
    assert sorted(len(work.jobs) for work in executor.works) == [1, 1, 2, 2]


def test_a_diverged_child_is_the_worst_and_stays() -> None:
    def outcome(job: Job, rate: float, seed: int) -> Child:
        return diverged(rate, seed) if seed in (12, 13, 14) else best_at(1e-2)(job, rate, seed)

    _, (row,), _ = studied(outcome)
    assert (row.n, row.diverged) == (4, 3)
    assert row.accuracy is not None
    assert row.test_accuracy is not None
    assert row.loss is not None
    assert row.accuracy.median == row.test_accuracy.median == 0.0
    assert row.loss.median == TASK.loss_bound


def test_a_learning_rate_that_diverges_on_one_seed_loses_by_it() -> None:
    def outcome(job: Job, rate: float, seed: int) -> Child:
        if rate > 0.05 and seed == 3:
            return diverged(rate, seed)
        return trained(rate, seed, accuracy=0.8 if rate > 0.05 else 0.6 if rate > 5e-3 else 0.1)

    _, (row,), _ = studied(outcome)
    assert row.learning_rate == pytest.approx(1e-2)  # mean 0.6 against (0.8 + 0.8 + 0) / 3


def test_a_failure_is_a_row_with_its_reason() -> None:
    def outcome(job: Job, rate: float, seed: int) -> Child | str:
        return "RuntimeError: no" if job.rule == "g" else best_at(1e-2)(job, rate, seed)

    _, rows, _ = studied(outcome, "g", "adam")
    assert (rows[0].failure, rows[0].accuracy, rows[0].n) == ("RuntimeError: no", None, 0)
    assert rows[1].failure is None
    assert [row.optimizer for row in ordered(rows)] == ["adam", "g"]


def test_a_failure_in_the_report_is_one_too() -> None:
    _, (row,), _ = studied(lambda job, rate, seed: "out of memory" if seed in REPORT else trained(rate, seed, 0.5))
    assert (row.failure, row.test_loss) == ("out of memory", None)


def test_a_rule_without_a_scale_is_not_trained() -> None:
    _, rows, executor = studied(best_at(0.02), "1e-3 * w", "adam", grid="scaled")
    assert rows[0].failure == "does not use the gradient"
    assert not any(job.rule == "0.001 * w" for work in executor.works for job in work.jobs)


def test_all_may_diverge() -> None:
    _, (row,), _ = studied(lambda job, rate, seed: diverged(rate, seed))
    assert (row.diverged, row.n, row.edge, row.rates) == (4, 4, True, 9)


def test_rows_survive_json() -> None:
    _, rows, _ = studied(best_at(1e-2), "g * 3", "adam")
    assert [Row.from_json(row.to_json()) for row in rows] == rows
    _, rows, _ = studied(lambda job, rate, seed: "why")
    assert [Row.from_json(row.to_json()) for row in rows] == rows


def test_rows_are_ordered_by_validation_and_never_by_test() -> None:
    def outcome(job: Job, rate: float, seed: int) -> Child:
        better = job.rule == "2 * g"
        return trained(rate, seed, accuracy=0.9 if better else 0.8, test_accuracy=0.1 if better else 0.95)

    _, rows, _ = studied(outcome, "g", "2 * g")
    assert [row.optimizer for row in ordered(rows)] == ["2 * g", "g"]


def test_seeds_are_fresh() -> None:
    (first, second) = fresh_seeds([50, 50], root=0)
    assert len({*first, *second, SEED}) == 101
    (again, _) = fresh_seeds([50, 50], root=0, taken=first)
    assert not set(again) & set(first)
    assert fresh_seeds([3], root=0) == [first[:3]]
    assert fresh_seeds([3], root=1) != [first[:3]]


def test_seeds_that_tune_cannot_report() -> None:
    with pytest.raises(ValueError, match=r"must be disjoint, but both hold \[2\]"):
        Protocol((1, 2), (2, 3))
