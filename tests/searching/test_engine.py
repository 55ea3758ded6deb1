from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt.config import SearchConfig
from neuropt.searching.executor import InProcessExecutor, Trial
from neuropt.searching.ledger import create_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.recorded import RecordedExecutor
from neuropt.searching.rewards import child_reward, rule_reward, worst_reward
from neuropt.training.children import Child
from neuropt.training.work import Done, Job, Trained, Work, do_work
from tests.searching.searches import DATA, SMALL, TASK, contents, open_engine, run_small


def test_a_search_trains_as_many_distinct_rules_as_it_was_asked_for(tmp_path: Path) -> None:
    engine = run_small(SMALL, tmp_path / "l")
    counts = engine.ledger.counts()
    assert counts["new"] == counts["trained"] == SMALL.rules
    assert counts["rejected"] > 0
    keys = [row[0] for row in engine.ledger.connection.execute("SELECT key FROM proposals WHERE status = 'new'")]
    assert len(set(keys)) == len(keys)


def test_every_rule_has_seven_children_of_which_two_come_to_the_end(tmp_path: Path) -> None:
    engine = run_small(replace(SMALL, rules=6), tmp_path / "l")
    rows = engine.ledger.connection.execute(
        "SELECT proposal, count(*), sum(accuracy IS NOT NULL) FROM children GROUP BY 1"
    )
    for _, children, complete in rows:
        assert children == 7
        assert complete <= 2


def test_one_seed_gives_one_search(tmp_path: Path) -> None:
    first, second = (run_small(SMALL, tmp_path / name) for name in "ab")
    other = run_small(replace(SMALL, seed=1), tmp_path / "c")
    assert contents(first.ledger) == contents(second.ledger)
    assert contents(first.ledger)["proposals"] != contents(other.ledger)["proposals"]


@pytest.mark.parametrize(("workers", "told"), [(2, [1, 0, 3, 2]), (8, [7, 6, 5, 4, 3, 2, 1, 0])])
def test_a_deterministic_search_is_the_same_on_any_number_of_workers(
    tmp_path: Path, workers: int, told: list[int]
) -> None:
    config = replace(SMALL, lag=workers, rules=max(SMALL.rules, 8 * workers))
    expected = run_small(config, tmp_path / "a")  # one worker
    engine = open_engine(config, tmp_path / "b")  # several, of which the last is always the fastest
    while True:
        trials = [t for t in (engine.next_trial() for _ in range(workers)) if isinstance(t, Trial)]
        for trial in reversed(trials):
            engine.finish(trial.number, do_work(trial.work, TASK, DATA))
        if not trials:
            break
    assert contents(engine.ledger) == contents(expected.ledger)
    order = [row[0] for row in engine.ledger.connection.execute("SELECT trial FROM told ORDER BY event")]
    assert order[: len(told)] == told


def test_no_more_than_lag_trials_are_under_way(tmp_path: Path) -> None:
    engine = open_engine(SMALL, tmp_path / "l")
    assert [isinstance(engine.next_trial(), Trial) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("stop_after", "config"),
    [
        (1, SMALL),
        (3, SMALL),
        (2, replace(SMALL, deterministic=False)),
        (2, replace(SMALL, space="arxiv2017", groups=2)),
    ],
)
def test_a_search_stopped_and_resumed_equals_one_that_was_not(
    tmp_path: Path, stop_after: int, config: SearchConfig
) -> None:
    expected = run_small(config, tmp_path / "a")
    engine = open_engine(config, tmp_path / "b")
    for _ in range(stop_after):
        trial = engine.next_trial()
        assert isinstance(trial, Trial)
        engine.finish(trial.number, do_work(trial.work, TASK, DATA))
    engine.next_trial()  # asked, and lost with the process
    engine.ledger.close()
    resumed = run_small(config, tmp_path / "b")
    assert contents(resumed.ledger) == contents(expected.ledger)


def test_nothing_that_is_finished_is_trained_again(tmp_path: Path) -> None:
    run_small(SMALL, tmp_path / "l").ledger.close()
    engine = open_engine(SMALL, tmp_path / "l")
    assert engine.next_trial() == "finished"


def test_a_ledger_of_another_seed_is_not_resumed(tmp_path: Path) -> None:
    run_small(SMALL, tmp_path / "l").ledger.close()
    with pytest.raises(LedgerError, match="proposes other rules"):
        open_engine(replace(SMALL, seed=5), tmp_path / "l")


def test_an_exhausted_space_ends_the_search(tmp_path: Path) -> None:
    engine = run_small(replace(SMALL, space="tiny", controller="random", rules=10_000), tmp_path / "l")
    assert engine.proposer.exhausted
    assert 20 < engine.ledger.counts()["trained"] < 1_000


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(tmp_path: Path) -> None:
    engine = open_engine(SMALL, tmp_path / "l")
    trial = engine.next_trial()
    assert isinstance(trial, Trial)
    engine.finish(trial.number, Done(tuple(Trained((), "the worker died") for _ in trial.work.jobs), 0.0))
    InProcessExecutor(TASK, DATA).search(engine)
    counts = engine.ledger.counts()
    assert counts["failed"] == len(trial.work.jobs) == SMALL.rules_per_trial
    assert counts["trained"] == SMALL.rules - len(trial.work.jobs)


def trained(*rows: Child) -> Trained:
    return Trained(tuple((child,) for child in rows))


def test_the_reward_is_the_best_learning_rates_validation_accuracy() -> None:
    row = rule_reward(
        3,
        trained(Child(0.1, 0, "trained", 9, 0.5, 0.6, 0.8), Child(1, 0, "trained", 9, 0.5, 0.5, 0.9)),
        TASK,
        "accuracy",
    )
    assert (row.proposal, row.status, row.reward, row.learning_rate) == (3, "trained", 0.9, 1)


def test_ties_go_to_the_lower_loss() -> None:
    row = rule_reward(
        3,
        trained(Child(0.1, 0, "trained", 9, 0.5, 0.4, 0.9), Child(1, 0, "trained", 9, 0.5, 0.5, 0.9)),
        TASK,
        "accuracy",
    )
    assert row.learning_rate == 0.1


@pytest.mark.parametrize("kind", ["accuracy", "loss"])
def test_reward_is_worst_when_every_child_diverges(kind: str) -> None:
    row = rule_reward(0, trained(Child(0.1, 0, "diverged", 2, float("inf"))), TASK, kind)  # type: ignore[arg-type]  # text
    assert row.reward == worst_reward(TASK, kind)  # type: ignore[arg-type]  # text
    assert row.loss is None


def test_the_reward_of_the_loss_is_minus_its_logarithm_and_bounded() -> None:
    def worth(loss: float) -> float:
        return child_reward(Child(0.1, 0, "trained", 9, 0.5, loss, 0.9), TASK, "loss")

    assert worth(1.0) == 0.0
    assert worth(0.5) == pytest.approx(0.693147, abs=1e-6)  # log 2
    assert worth(0.0) == worth(1e-9) == pytest.approx(13.8155, abs=1e-4)  # -log 1e-6
    assert worth(1e9) == worst_reward(TASK, "loss") == pytest.approx(-4.60517, abs=1e-5)  # -log 100


def test_a_failed_rule_keeps_its_reason(tmp_path: Path) -> None:
    engine = open_engine(SMALL, tmp_path / "l")
    trial = engine.next_trial()
    assert isinstance(trial, Trial)
    done = do_work(trial.work, TASK, DATA)
    broken = Done((Trained((), "ValueError: no"), *done.trained[1:]), 0.1)
    engine.finish(trial.number, broken)
    rows = engine.ledger.rewards()[trial.number]
    assert [row.status for row in rows] == ["failed"] + ["trained"] * (len(rows) - 1)
    assert rows[0].reason == "ValueError: no"


def test_works_of_finalists_are_done_once(tmp_path: Path) -> None:
    ledger = create_ledger(tmp_path / "l")
    works = [Work((Job(text, (0.1,)),), (1,), halving=False) for text in ("g", "m")]
    first = dict(RecordedExecutor(InProcessExecutor(TASK, DATA), ledger).map(works[:1]))

    class Once(InProcessExecutor):
        """Refuses what is done already."""

        def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
            assert [job.rule for work in works for job in work.jobs] == ["m"]
            return super().map(works)

    again = dict(RecordedExecutor(Once(TASK, DATA), ledger).map(works))
    assert again[0] == first[0]
    assert sorted(again) == [0, 1]


def test_works_that_are_the_same_are_done_once(tmp_path: Path) -> None:
    """Two entries of an evaluation may come to the same child, such as Adam, and AdamW tuned to a decay of 0."""
    ledger = create_ledger(tmp_path / "l")
    g, m = (Work((Job(text, (0.1,)),), (1,), halving=False) for text in ("g", "m"))
    asked: list[str | None] = []

    class Listing(InProcessExecutor):
        """Lists what it is asked to do."""

        def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
            asked.extend(job.rule for work in works for job in work.jobs)
            return super().map(works)

    done = dict(RecordedExecutor(Listing(TASK, DATA), ledger).map([g, m, g]))
    assert asked == ["g", "m"]
    assert sorted(done) == [0, 1, 2]
    assert done[0] == done[2] != done[1]
