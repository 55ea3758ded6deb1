"""Rules that stop at a rung: who, what is recorded of them, and that nothing takes their rewards for those of full training."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy.stats import spearmanr

from neuropt.commands.watching import lines
from neuropt.config import SearchConfig
from neuropt.searching.fidelity import halving, is_control
from neuropt.searching.guard import Guard
from neuropt.searching.guard_process import GO_ON, STOP
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_rows import ClimbedRule
from neuropt.searching.limits import Limits
from neuropt.searching.run_folder import best_rules
from neuropt.searching.rung_report import report_rungs, rung_lines, spearman
from neuropt.searching.search import run_search
from neuropt.searching.status import run_status
from neuropt.searching.training_source import TrainingSource
from neuropt.searching.warm_start import known_strings
from neuropt.training.children import Child
from neuropt.training.rungs import Rungs, rung_steps
from neuropt.training.work import Done, Job, Judge, Trained, Work, do_work
from search_space import load_space
from tests.searching.searches import DATA, SMALL, TASK, contents, open_engine, run_small

HALVING = replace(SMALL, fidelity="halving", rules=36, rules_per_trial=12)
RATES = (0.01, 0.1, 1.0)
JOBS = tuple(Job(text, RATES) for text in ("g", "m", "sign(g)", "adam"))
LADDER = rung_steps(TASK.steps)


def climbing(form: str = "population", **values: object) -> Work:
    return Work(JOBS, (1, 2), form=form, rungs=Rungs(LADDER, **values))  # type: ignore[arg-type]  # text


def nobody(work: Work, candidates: Sequence[Trained | None]) -> Sequence[bool]:
    return [False] * len(candidates)


def first_two(work: Work, candidates: Sequence[Trained | None]) -> Sequence[bool]:
    return [True, True, False, False]


def test_rungs_are_at_a_ninth_and_a_third_of_the_budget() -> None:
    assert LADDER == (1, 4)  # of 12 steps
    assert rung_steps(900) == (100, 300)


# -- training ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["population", "plain", "rows"])
def test_being_looked_at_changes_no_bit(form: str) -> None:
    looked_at = do_work(climbing(form), TASK, DATA, nobody).trained
    alone = do_work(replace(climbing(form), rungs=None), TASK, DATA).trained
    assert [trained.children for trained in looked_at] == [trained.children for trained in alone]
    assert [[rung.steps for rung in trained.rungs] for trained in looked_at] == [list(LADDER)] * 4


@pytest.mark.parametrize("form", ["population", "plain", "rows"])
def test_a_rule_that_stops_keeps_what_it_had_come_to_and_the_others_go_on(form: str) -> None:
    stopped, _, on, _ = do_work(climbing(form), TASK, DATA, first_two).trained
    assert stopped.fidelity == 1 / 12
    assert {(child.status, child.steps) for row in stopped.children for child in row} <= {
        ("stopped", 1),
        ("diverged", 1),
    }
    full = do_work(replace(climbing(form), rungs=None), replace(TASK.with_budget(1), halving=()), DATA).trained[0]
    for row, other in zip(stopped.children, full.children, strict=True):
        assert [child.accuracy for child in row] == pytest.approx([child.accuracy for child in other])
        assert [child.loss for child in row] == pytest.approx([child.loss for child in other], rel=1e-5)
    assert on.fidelity == 1.0
    assert any(child.status == "trained" and child.steps == 12 for row in on.children for child in row)


def compared(work: Work) -> list[int]:
    """How many rules are compared at each rung."""
    seen: list[int] = []

    def judge(work: Work, candidates: Sequence[Trained | None]) -> Sequence[bool]:
        seen.append(len(candidates))
        return nobody(work, candidates)

    do_work(work, TASK, DATA, judge)
    return seen


@pytest.mark.parametrize("form", ["population", "plain"])
def test_all_rules_of_a_trial_are_compared_however_many_seeds_they_have(form: str) -> None:
    seeds = tuple(range(60 if form == "population" else 2))  # a buffer of 60 seeds is full with one rule
    assert compared(replace(climbing(form), seeds=seeds)) == [4, 4]


def test_rules_compete_within_the_buffers_that_rules_together_makes() -> None:
    assert compared(replace(climbing(), rules_together=2)) == [2, 2, 2, 2]


def test_what_a_rule_came_to_at_its_rungs_survives_json() -> None:
    done = do_work(climbing(), TASK, DATA, first_two)
    assert Done.from_json(done.to_json()) == done
    work = replace(climbing(asynchronous=True, reward="loss"), jobs=(replace(JOBS[0], control=True),))
    assert Work.from_json(work.to_json()) == work


def test_a_work_without_rungs_is_written_as_before_there_were_any() -> None:
    assert {"rungs", "control"}.isdisjoint(json.loads(Work(JOBS, (1,)).to_json()))  # ledgers know it by its text


# -- who stops ---------------------------------------------------------------------------------------------------------------------


def candidate(accuracy: float, loss: float = 1.0) -> Trained:
    return Trained(((Child(0.1, 1, "stopped", 1, 1.0, loss, accuracy),),), None, 1 / 9)


def stopping(judge: Judge, found: Mapping[int, Trained], control: Sequence[int] = ()) -> list[int]:
    jobs = tuple(Job("g", (0.1,), control=i in control) for i in range(max(found) + 1))
    return [i for i, stops in enumerate(judge(Work(jobs, (1,)), [found.get(i) for i in range(len(jobs))])) if stops]


def test_a_third_of_the_rules_goes_on_rounded_up() -> None:
    judge = halving(Rungs((1,)), TASK)
    found = {i: candidate(accuracy) for i, accuracy in enumerate([0.1, 0.7, 0.3, 0.9, 0.2, 0.6, 0.8])}
    assert stopping(judge, found) == [0, 2, 4, 5]  # of seven 3 stay: 0.9, 0.8, 0.7
    assert stopping(judge, {0: found[0]}) == []  # of one 1 stays


def test_ties_go_to_the_lower_loss_and_then_to_the_older_rule() -> None:
    found = {0: candidate(0.5, 1.0), 1: candidate(0.5, 0.5), 2: candidate(0.5, 0.5)}
    assert stopping(halving(Rungs((1,)), TASK), found) == [0, 2]


def test_what_is_compared_is_the_reward_of_the_search() -> None:
    found = {0: candidate(0.9, 3.0), 1: candidate(0.5, 0.5), 2: candidate(0.4, 2.0)}
    assert stopping(halving(Rungs((1,), "accuracy"), TASK), found) == [1, 2]
    assert stopping(halving(Rungs((1,), "loss"), TASK), found) == [0, 2]


def test_the_control_group_and_what_is_gone_take_no_part() -> None:
    found = {0: candidate(0.9), 2: candidate(0.1), 3: candidate(0.5), 4: candidate(0.6), 5: candidate(0.7)}
    # control: 0 and 2; of the other three, 3, 4 and 5, one stays
    assert stopping(halving(Rungs((1,)), TASK), found, control=(0, 2)) == [3, 4]


def test_the_control_group_is_a_twentieth_or_ten_rules_but_at_most_a_quarter() -> None:
    for rules, expected in ((100_000, 0.05), (100, 0.1), (4, 0.25)):
        share = sum(is_control(rules, 0, number) for number in range(4_000)) / 4_000
        assert share == pytest.approx(expected, abs=0.02)  # 4,000 draws have a standard deviation of at most 0.007
    drawn = [[is_control(100, seed, number) for number in range(200)] for seed in (0, 1)]
    assert drawn[0] != drawn[1]


# -- a search ----------------------------------------------------------------------------------------------------------------------


def test_stopped_rules_are_never_among_the_best(tmp_path: Path) -> None:
    console = Console(file=(tmp_path / "said").open("w"), width=200)
    folder = run_search(replace(HALVING, finalists=3, finalist_seeds=2), tmp_path / "run", console=console)
    with closing(open_ledger(folder / "ledger.sqlite")) as ledger:
        rewards = {reward.proposal: reward for rows in ledger.rewards().values() for reward in rows}
        counts, earned, finalists = ledger.counts(), ledger.earned(), ledger.finalists()
        climbed = ledger.climbed()
    full = {number for number, reward in rewards.items() if reward.fidelity == 1.0}
    assert counts["trained"] == HALVING.rules
    assert counts["stopped"] == HALVING.rules - len(full) > HALVING.rules / 3
    assert {rule.proposal for rule in best_rules(folder, 100)} == full
    assert (
        len(earned)
        == len(known_strings(replace(SMALL, warm_start=str(folder)), load_space("icml2017", 1)))
        == len(full)
    )
    assert sum(json.loads(row)["searched"] for row in finalists) == 3
    assert {rewards[rule.proposal].fidelity for rule in climbed if rule.control} == {1.0}
    status = run_status(folder)
    assert (status.stopped, status.best) == (counts["stopped"], best_rules(folder, 1)[0])
    assert "n = " in "\n".join(lines(folder, status))
    console.file.close()
    assert "over the control group" in (tmp_path / "said").read_text()


def test_the_controller_is_told_the_reward_at_the_rung(tmp_path: Path) -> None:
    engine = run_small(HALVING, tmp_path / "l")
    for rule in engine.ledger.climbed():
        assert engine.proposer.rewards[rule.proposal] == rule.reward
        if rule.fidelity < 1.0:
            assert (rule.fidelities[-1], rule.rewards[-1]) == (rule.fidelity, rule.reward)


@pytest.mark.parametrize("seed", range(2))
def test_a_search_that_was_stopped_anywhere_equals_one_that_was_not(tmp_path: Path, seed: int) -> None:
    whole = run_small(HALVING, tmp_path / "whole")
    engine = open_engine(HALVING, tmp_path / "cut")
    for _ in range(random.Random(seed).randrange(1, 3)):
        trial = engine.next_trial()
        assert not isinstance(trial, str)
        judge = halving(trial.work.rungs or Rungs(()), TASK)
        engine.finish(trial.number, do_work(trial.work, TASK, DATA, judge))
    engine.ledger.close()
    assert contents(run_small(HALVING, tmp_path / "cut").ledger) == contents(whole.ledger)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fidelity": "half"}, "fidelity must be one of full, halving, asha"),
        ({"fidelity": "asha", "deterministic": True}, "fidelity asha is not for deterministic.*fidelity halving gives"),
        ({"fidelity": "asha", "executor": "in-process"}, "fidelity asha needs executor tune"),
        (
            {"fidelity": "asha", "rules_per_trial": 5},
            "rules_per_trial must be 1, or left out, with fidelity asha, but got 5",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SearchConfig(**values)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rules_per_trial": 2}, "rules_per_trial 2 lets 2 compete"),
        ({"rules_together": 1}, "rules_per_trial 12, rules_together 1 lets 1 compete"),
        ({"rules_together": 5, "rules_per_trial": 7}, None),  # 3 and 4
        ({"rules_together": 3, "rules_per_trial": 7}, "lets 2 compete"),  # 2, 2 and 3
        ({"rules_together": 1, "form": "plain"}, None),  # which has no buffers
    ],
)
def test_a_competition_has_at_least_three_rules(values: dict[str, Any], words: str | None) -> None:
    source = TrainingSource(replace(HALVING, **values))
    if words is None:
        source.settled(None)
        return
    with pytest.raises(ValueError, match=f"fidelity halving .* at least 3 rules .*{words}"):
        source.settled(None)


def test_auto_rules_per_trial_leaves_enough_rules_to_compete() -> None:
    auto = replace(HALVING, rules_per_trial="auto", deterministic=False)
    assert TrainingSource(auto).settled(None).rules_per_trial == 9  # 3 after the first rung, 1 after the second


def test_a_table_has_no_rungs(tmp_path: Path) -> None:
    config = SearchConfig(task="table:icml2017-digits-mlp", space="icml2017", groups=1, fidelity="halving")
    with pytest.raises(ValueError, match="fidelity says how children are trained"):
        run_search(config, tmp_path / "run")


# -- rungs and full training -------------------------------------------------------------------------------------------------------


def test_the_correlation_of_ranks_is_scipys() -> None:
    draw = random.Random(0)
    for _ in range(20):
        pairs = [(draw.randrange(5) / 4, draw.random()) for _ in range(12)]  # with ties
        expected: Any = spearmanr([one for one, _ in pairs], [other for _, other in pairs])
        assert spearman(pairs) == pytest.approx(expected.statistic)


def test_what_says_nothing_is_not_a_correlation() -> None:
    assert spearman([(0.0, 0.0), (1.0, 1.0)]) is None
    assert spearman([(0.5, 0.1), (0.5, 0.2), (0.5, 0.3)]) is None


def climbed(number: int, control: bool, fidelity: float, reward: float, *rungs: float) -> ClimbedRule:
    return ClimbedRule(number, control, fidelity, reward, (0.1, 0.3)[: len(rungs)], rungs)


def test_a_rung_is_judged_by_the_control_group_and_the_selection_is_shown_apart() -> None:
    rules = [
        climbed(0, True, 1.0, 0.9, 0.1, 0.5),
        climbed(1, True, 1.0, 0.8, 0.2, 0.4),
        climbed(2, True, 1.0, 0.7, 0.3, 0.3),
        climbed(3, True, 1.0, 0.0),  # diverged before the first rung: no rung judged it
        climbed(4, False, 1.0, 0.6, 0.1, 0.1),
        climbed(5, False, 1.0, 0.7, 0.2, 0.2),
        climbed(6, False, 1.0, 0.8, 0.3, 0.3),
        climbed(7, False, 0.1, 0.05, 0.05),
        climbed(8, False, 0.3, 0.1, 0.15, 0.1),
    ]
    first, second = report_rungs(rules)
    # ranks of the control group at the first rung 1 2 3, at the end 3 2 1
    assert (first.fidelity, first.stopped, first.control, first.unjudged) == (0.1, 1, 3, 1)
    assert first.correlation == -1.0
    assert (second.stopped, second.control, second.correlation) == (1, 3, 1.0)
    assert (first.selected, first.selected_correlation) == (3, 1.0)


def test_rules_that_no_rung_judged_do_not_make_rungs_look_good() -> None:
    diverged = [climbed(number, True, 1.0, 0.0) for number in range(12)]
    judged = [climbed(20 + i, True, 1.0, 0.9 + 0.01 * i, 0.9 - 0.01 * i) for i in range(8)]  # the wrong way round
    (report,) = report_rungs(diverged + judged)
    assert (report.correlation, report.control, report.unjudged) == (-1.0, 8, 12)
    first, second = rung_lines([report], 20)
    assert first.endswith("20 trained in full, 20 of them the control group")
    assert "Spearman -1.00 over the control group (n = 8, without 12 that diverged before)" in second


# -- asking the driver -------------------------------------------------------------------------------------------------------------


def asked(answers: Sequence[bytes], seconds: float = 30.0, wait: float = 0.0) -> tuple[Trained, list[Done]]:
    """What becomes of a rule whose guard is told these things at its rungs, and what it was told of."""
    heard: list[Done] = []

    def ask(result: bytes) -> bytes:
        heard.append(Done.from_json(result.decode().removeprefix("at a rung ")))
        time.sleep(wait)
        return answers[len(heard) - 1]

    guard = Guard(TASK, DATA, Limits(seconds, 2**30), ask=ask)
    try:
        (trained,) = guard.train(replace(climbing(asynchronous=True), jobs=JOBS[:1])).trained
        after = guard.train(replace(climbing(), rungs=None, jobs=JOBS[:1])).trained
    finally:
        guard.close()
    assert after == do_work(replace(climbing(), rungs=None, jobs=JOBS[:1]), TASK, DATA).trained, "it can train the next"
    return trained, heard


def test_a_trainer_waits_at_a_rung_until_it_is_told_to_go_on() -> None:
    trained, heard = asked([GO_ON, GO_ON])
    assert [done.trained[0].fidelity for done in heard] == [1 / 12, 4 / 12]
    assert trained.children == do_work(replace(climbing(), rungs=None, jobs=JOBS[:1]), TASK, DATA).trained[0].children
    assert trained.fidelity == 1.0


def test_a_trainer_that_is_told_to_stop_has_come_to_what_it_said() -> None:
    trained, heard = asked([GO_ON, STOP])
    assert trained == heard[-1].trained[0]
    assert trained.fidelity == 4 / 12


def test_waiting_for_an_answer_is_not_the_childs_time() -> None:
    trained, heard = asked([GO_ON, GO_ON], seconds=0.3, wait=1.0)  # six children have 1.8 s, the answers take 2 s
    assert (trained.failure, trained.fidelity, len(heard)) == (None, 1.0, 2)
