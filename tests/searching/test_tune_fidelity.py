"""Rungs on real Ray."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from neuropt.config import SearchConfig
from neuropt.searching.asha import Asha
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_rows import ClimbedRule
from neuropt.searching.ray_worker import RESULT
from neuropt.searching.run_folder import best_rules
from neuropt.searching.search import run_search
from neuropt.searching.tune_executor import TuneExecutor
from neuropt.searching.tune_searcher import DIED
from neuropt.training.children import Child
from neuropt.training.rungs import Rung, Rungs
from neuropt.training.work import Done, Job, Trained, Work, do_work
from tests.searching import faults
from tests.searching.faults import FAULTY, FAULTY_DATA, job
from tests.searching.searches import SMALL, TASK, contents, run_small
from tests.searching.test_fidelity import HALVING
from tests.searching.test_tune_faults import FINE, Listed

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own warnings are not ours to fix

ASHA = replace(SMALL, fidelity="asha", executor="tune", deterministic=False, rules=18, rules_per_trial=1, workers=2)


@pytest.mark.slow
def test_halving_on_ray_and_in_this_process_is_one_search(executor: TuneExecutor, tmp_path: Path) -> None:
    tuned = run_small(HALVING, tmp_path / "tune", executor)
    assert contents(tuned.ledger) == contents(run_small(HALVING, tmp_path / "plain").ledger)
    assert tuned.ledger.counts()["stopped"] > 0


# -- ASHA --------------------------------------------------------------------------------------------------------------------------


def trial(name: str, control: bool = False) -> Any:
    work = Work((Job("g", (0.1,), control=control),), (1,), rungs=Rungs((1, 4), asynchronous=True))
    return SimpleNamespace(trial_id=name, config={"work": work.to_json()})


def result(*accuracies: float) -> dict[str, str]:
    """What a rule has come to, at the last of these rungs."""
    steps = zip((1, 4), accuracies, strict=False)
    rungs = [Rung(i, ((Child(0.1, 1, "trained", i, 1.0, 1.0, a),),)) for i, a in steps]
    stopped = Trained(((Child(0.1, 1, "stopped", 1, 1.0, 1.0, accuracies[-1]),),), None, 0.1, tuple(rungs))
    return {RESULT: Done((stopped,), 0.0).to_json()}


def decided(asha: Asha, name: str, *accuracies: float, control: bool = False) -> str:
    one, nobody = trial(name, control), cast("Any", None)
    asha.on_trial_add(nobody, one)
    return asha.on_trial_result(nobody, one, result(*accuracies))


def test_a_rule_goes_on_if_it_is_in_the_best_third_of_those_before_it() -> None:
    asha = Asha((1, 4), TASK, "accuracy")
    # against the 2/3 quantile of those before: none, 0.3, 0.3 + 2/3 * 0.3 = 0.5, then of (0.3, 0.4, 0.6) 0.4667
    found = [decided(asha, str(a), a) for a in (0.3, 0.6, 0.4, 0.45, 0.7)]
    assert found == ["CONTINUE", "CONTINUE", "STOP", "STOP", "CONTINUE"]
    assert decided(asha, "second rung", 0.1, 0.2) == "CONTINUE", "each rung has its own"


def test_the_control_group_goes_on_and_is_compared_with_none() -> None:
    asha = Asha((1, 4), TASK, "accuracy")
    assert decided(asha, "a", 0.5) == "CONTINUE"
    assert decided(asha, "worse", 0.1, control=True) == "CONTINUE"
    assert decided(asha, "between", 0.3) == "STOP", "as if there were no 0.1"


def test_a_search_that_goes_on_begins_with_the_rungs_of_its_ledger() -> None:
    known = [
        ClimbedRule(7, False, 0.1, 0.5, (1 / 12,), (0.5,)),
        ClimbedRule(8, True, 1.0, 0.9, (1 / 12, 4 / 12), (0.8, 0.8)),
    ]
    asha = Asha((1, 4), TASK, "accuracy", known)
    assert [decided(asha, "a", 0.4), decided(asha, "b", 0.6)] == ["STOP", "CONTINUE"]


def test_a_rung_is_known_by_its_steps_and_not_by_how_many_a_rule_has_reached() -> None:
    late = [ClimbedRule(7, False, 1.0, 0.9, (4 / 12,), (0.9,))]  # present at the second rung alone
    asha = Asha((1, 4), TASK, "accuracy", late)
    assert decided(asha, "first", 0.1) == "CONTINUE", "none was at the first rung before"
    assert decided(asha, "second", 0.2, 0.5) == "STOP", "worse than 0.9, which was at the second"
    (rung,) = Done.from_json(result(0.1, 0.6)[RESULT]).trained[0].rungs[1:]
    asha = Asha((1, 4), TASK, "accuracy", late)
    one, done = trial("late"), Done.from_json(result(0.1, 0.6)[RESULT])
    now = {RESULT: replace(done, trained=(replace(done.trained[0], rungs=(rung,)),)).to_json()}
    asha.on_trial_add(cast("Any", None), one)
    assert asha.on_trial_result(cast("Any", None), one, now) == "STOP", "compared at the second rung, too"


@pytest.mark.slow
def test_an_asha_search_stops_rules_and_goes_on_without_training_one_again(
    executor: TuneExecutor, tmp_path: Path
) -> None:
    run = run_search(ASHA, tmp_path / "run")
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        before, counts, rules = contents(ledger), ledger.counts(), ledger.climbed()
    assert counts["trained"] == ASHA.rules
    assert 0 < counts["stopped"] < ASHA.rules
    assert len(best_rules(run, 100)) == ASHA.rules - counts["stopped"]
    assert all(rule.fidelity == 1.0 for rule in rules if rule.control)
    (run / "config.toml").write_text(replace(ASHA, rules=24).to_toml(), encoding="utf-8")
    run_search(SearchConfig(), run, resume=True)
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        after = contents(ledger)
    assert len(after["rewards"]) == 24
    assert [row for row in after["rewards"] if row in before["rewards"]] == before["rewards"]


@pytest.mark.slow
def test_a_rule_that_kills_its_workers_at_a_rung_is_blamed_and_the_others_are_trained(executor: TuneExecutor) -> None:
    rungs = Rungs((1,), asynchronous=True)
    broken = (faults.kill_the_guard, faults.kill_the_worker, faults.exit_at_once)
    jobs = [*(replace(one, control=True) for one in FINE), *(job(fault) for fault in broken)]
    engine = Listed([Work((one,), (0,), halving=False, rungs=rungs) for one in jobs])
    asha = Asha((1,), FAULTY, "accuracy")
    TuneExecutor(FAULTY, workers=2, child_seconds=30.0, child_memory=0.25, scheduler=asha).search(engine)
    expected = do_work(Work(FINE, (0,), halving=False), FAULTY, FAULTY_DATA).trained
    found = [engine.done[number].trained[0] for number in range(len(jobs))]
    assert [one.children for one in found[: len(FINE)]] == [one.children for one in expected]
    assert [one.failure for one in found[len(FINE) :]] == [DIED, DIED, "ended its process: exit code 7"]
