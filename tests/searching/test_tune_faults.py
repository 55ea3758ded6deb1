"""Rules and models that go wrong for real, on Ray."""

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import pytest

from neuropt.searching.executor import Trial
from neuropt.searching.guard_process import WorkerError
from neuropt.searching.tune_executor import TuneExecutor
from neuropt.searching.tune_searcher import DIED
from neuropt.training.work import Done, Job, Work, do_work
from tests.searching import faults
from tests.searching.faults import FAULTY, FAULTY_DATA, job

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own warnings are not ours to fix

FINE = (Job("0.1 * g", (1.0,)), Job("0.2 * g", (1.0,)), Job("m", (1.0,)))
REASONS: dict[Callable[[], None], str] = {
    faults.sleep: "took longer than",
    faults.loop_in_c: "took longer than",
    faults.allocate: "needed more than 0.25 GiB",
    faults.allocate_shared: "needed more than 0.25 GiB",
    faults.raise_an_error: "ValueError: this model is broken",
    faults.leave: "ended its process: SystemExit: 3",
    faults.exit_at_once: "ended its process: exit code 7",
    faults.crash: "ended its process: SIGSEGV",
    faults.kill_the_guard: DIED,
    faults.kill_the_worker: DIED,
}


class Listed:
    """An engine that has some trials to give."""

    def __init__(self, works: Sequence[Work]) -> None:
        self.trials = [Trial(number, work) for number, work in enumerate(works)]
        self.done: dict[int, Done] = {}

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        return self.trials.pop(0) if self.trials else "finished"

    def finish(self, number: int, done: Done) -> None:
        assert number not in self.done
        self.done[number] = done


def works_with(*broken: Callable[[], None]) -> list[Work]:
    """A trial with each fault between two rules that are fine, and one without."""
    works = [Work((FINE[0], job(fault), FINE[1]), (0,), halving=False) for fault in broken]
    return [*works, Work(FINE, (0,), halving=False)]


def assert_only_the_faulty_failed(done: Sequence[Done], broken: Sequence[Callable[[], None]]) -> None:
    expected = do_work(Work(FINE, (0,), halving=False), FAULTY, FAULTY_DATA).trained
    for fault, one in zip(broken, done, strict=False):
        assert (one.trained[0], one.trained[2]) == expected[:2], fault.__name__
        assert re.match(re.escape(REASONS[fault]), one.trained[1].failure or ""), (fault.__name__, one.trained[1])
    assert done[-1].trained == expected


def limited(seconds: float = 0.5) -> TuneExecutor:
    return TuneExecutor(FAULTY, workers=2, child_seconds=seconds, child_memory=0.25)


def test_a_search_goes_on_past_rules_that_break_their_process(executor: TuneExecutor) -> None:
    broken = (faults.loop_in_c, faults.exit_at_once, faults.raise_an_error)
    engine = Listed(works_with(*broken))
    limited().search(engine)
    assert_only_the_faulty_failed([engine.done[i] for i in range(len(broken) + 1)], broken)


@pytest.mark.slow
def test_every_fault_is_found_by_a_search_and_by_finalists(executor: TuneExecutor) -> None:
    broken = tuple(REASONS)
    engine = Listed(works_with(*broken))
    limited(2.0).search(engine)
    assert_only_the_faulty_failed([engine.done[i] for i in range(len(broken) + 1)], broken)
    mapped = dict(limited(2.0).map(works_with(*broken)))
    assert_only_the_faulty_failed([mapped[i] for i in range(len(broken) + 1)], broken)


def test_a_search_stops_where_a_worker_cannot_train_at_all(executor: TuneExecutor) -> None:
    trainer = limited()
    trainer.order = replace(trainer.order, facts=(("torch", "1.0"),))
    with pytest.raises(WorkerError, match=r"torch is .*, but the driver has 1\.0"):
        trainer.search(Listed(works_with()))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ctrl-C is heard after the trials too"
