from dataclasses import replace
from pathlib import Path

from neuropt.searching.ahead import Ahead
from neuropt.searching.engine import SearchEngine
from neuropt.searching.executor import Trial
from neuropt.training.work import do_work
from tests.searching.searches import DATA, SMALL, TASK, contents, open_engine, run_small

FREE = replace(SMALL, deterministic=False)


def train(ahead: Ahead, trials: int) -> None:
    """Train so many trials as one worker does that is never idle."""
    for _ in range(trials):
        trial = ahead.next_trial()
        assert isinstance(trial, Trial)
        ahead.prepare()
        ahead.finish(trial.number, do_work(trial.work, TASK, DATA))


def history(engine: SearchEngine) -> list[tuple[str, int]]:
    return [(event.kind, event.trial) for event in engine.ledger.history()]


def test_the_next_trial_is_asked_before_the_result_of_the_one_under_way(tmp_path: Path) -> None:
    engine = open_engine(FREE, tmp_path / "l")
    train(Ahead(engine), 4)
    asked_before_told = [("asked", 0), ("asked", 1), ("told", 0), ("asked", 2), ("told", 1), ("asked", 3), ("told", 2)]
    assert history(engine) == [*asked_before_told, ("told", 3)]


def test_one_trial_is_prepared_and_no_more(tmp_path: Path) -> None:
    engine = open_engine(FREE, tmp_path / "l")
    ahead = Ahead(engine)
    ahead.prepare()
    ahead.prepare()
    assert history(engine) == [("asked", 0)]


def test_a_deterministic_search_is_the_same_one_trial_ahead(tmp_path: Path) -> None:
    engine = open_engine(SMALL, tmp_path / "a")
    train(Ahead(engine), 4)
    assert contents(engine.ledger) == contents(run_small(SMALL, tmp_path / "b").ledger)


def test_nothing_is_prepared_where_results_must_come_first(tmp_path: Path) -> None:
    engine = open_engine(replace(SMALL, lag=1), tmp_path / "l")
    train(Ahead(engine), 4)
    assert history(engine) == [(kind, trial) for trial in range(4) for kind in ("asked", "told")]


def test_a_prepared_trial_that_is_lost_with_the_process_is_trained_first(tmp_path: Path) -> None:
    ahead = Ahead(open_engine(FREE, tmp_path / "l"))
    train(ahead, 2)  # trial 2 is prepared
    resumed = open_engine(FREE, tmp_path / "l")
    train(Ahead(resumed), 2)
    assert resumed.next_trial() == "finished"
    assert history(resumed)[-3:] == [("asked", 3), ("told", 2), ("told", 3)]
