"""What may be said: each guard holds, and is broken on purpose to show that it is the guard that holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuropt.evaluating.against import compare_on_tasks
from neuropt.evaluating.better import DECAYING, missing
from neuropt.evaluating.config import EvaluationConfig
from neuropt.evaluating.contenders import Contender, find_contender
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.summary import Summary
from neuropt.evaluating.verdict import verdicts
from neuropt.optimizers.named_schedules import rate_factors
from neuropt.tasks.task import Task
from search_space import parse_rule
from tests.evaluating.written_studies import PROTOCOL, SEEDS, child, studies, study

# -- a difference that the sample cannot show --------------------------------------------------------------------------------------


def sentence(ones: Sequence[float], others: Sequence[float], tasks: int = 1) -> str:
    pairs = {f"task-{i}": (ones, others) for i in range(tasks)}
    return compare_on_tasks(pairs)["task-0"].words("a", "b", "task-0")


def test_five_pairs_claim_nothing_however_they_fall_and_six_may() -> None:
    said = sentence([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5)
    assert "5 unequal pairs can never give p under 0.0625, so nothing is claimed" in said
    assert "n = 5 seeds" in said
    said = sentence([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0] * 6)
    assert "it ends ahead: median difference 3.5 [" in said
    assert "n = 6 seeds" in said
    assert "signed-rank p = 0.0312" in said


def test_correction_for_two_tasks_takes_the_claim_of_six_pairs_away() -> None:
    said = sentence([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0] * 6, tasks=2)
    assert (
        "6 unequal pairs can never give p under 0.0625 after Holm's correction over 2 tasks, so nothing is claimed"
        in said
    )
    assert "it ends ahead" in sentence([float(i) for i in range(1, 8)], [0.0] * 7, tasks=2)


def test_a_task_with_few_pairs_may_follow_one_with_many_since_holm_steps_down() -> None:
    many, few = [float(i) for i in range(1, 11)], [float(i) for i in range(1, 7)]
    found = compare_on_tasks({"many": (many, [0.0] * 10), "few": (few, [0.0] * 6)})
    # p = 2^-9 and 2^-5: the smaller one twice, the larger one once
    assert (found["many"].p_holm, found["few"].p_holm) == pytest.approx((2 * 2.0**-9, 2.0**-5))
    assert found["few"].possible
    assert "it ends ahead" in found["few"].words("a", "b", "few")
    alike = compare_on_tasks({"one": (few, [0.0] * 6), "other": (few, [0.0] * 6)})
    assert {one.least for one in alike.values()} == {2 * 2.0**-5}
    assert not any(one.possible or one.shown for one in alike.values())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=9), min_size=1, max_size=4))
def test_no_sample_comes_under_what_is_called_its_least(differences: list[list[float]]) -> None:
    found = compare_on_tasks({str(i): (d, [0.0] * len(d)) for i, d in enumerate(differences)})
    for one in found.values():
        assert one.p_holm >= one.least - 1e-12
        assert one.possible or not one.shown


def test_equal_pairs_support_nothing() -> None:
    said = sentence([1.0] * 8 + [2.0, 2.0], [1.0] * 10)
    assert "2 unequal pairs can never give p under 0.5, so nothing is claimed" in said


def test_a_difference_that_chance_explains_is_none() -> None:
    said = sentence([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, 1.0], [0.0] * 8)
    assert "no difference is shown" in said
    assert "ends" not in said


# -- the word "better" -------------------------------------------------------------------------------------------------------------

MINE = Contender("mine", parse_rule("g * exp(sign(g) * sign(m))"), searched=frozenset({"digits-mlp"}), used_seeds=(7,))
TUNED = "adamw(weight_decay=0.01|0.1, beta2=0.999|0.95)"
LOW = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89]
HIGH = [value + 0.1 for value in LOW]
HELD_OUT = [f"task-{i} family-{i}" for i in range(6)]

Found = dict[str, list[Study]]


def complete() -> Found:
    """Everything that the word needs, on six held-out tasks and on one that the search saw."""
    entries = [
        study(MINE, HIGH), study(TUNED, LOW), study("rmsprop", LOW), study("momentum", LOW), study("momentum", LOW, "linear"),
    ]  # fmt: skip
    return dict.fromkeys(("digits-mlp vision", *HELD_OUT), entries)


def reasons(found: Found, protocol: Protocol = PROTOCOL) -> list[str]:
    return missing(MINE, studies(found), protocol)


def without(names: Sequence[str], schedule: str | None = None) -> Found:
    return {
        task: [s for s in those if s.contender.name not in names and (schedule is None or s.schedule != schedule)]
        for task, those in complete().items()
    }


def test_with_all_of_it_the_word_is_used_with_its_n() -> None:
    assert reasons(complete()) == []
    (said,) = verdicts(studies(complete()), PROTOCOL, [MINE])
    assert said.startswith("mine is better than ")
    for name in (TUNED, "rmsprop", "momentum under linear", "n = 6 held-out tasks of 6 families, 10 seeds each"):
        assert name in said


@pytest.mark.parametrize(("tasks", "word"), [(6, "is not shown to be better than"), (7, "is better than")])
def test_of_several_new_rules_each_must_be_better_after_a_correction(tasks: int, word: str) -> None:
    """Six tasks give p = 2 / 2^6 = .031 at least, .062 for two rules; seven give .016, and .031."""
    yours = replace(MINE, name="yours")
    those = [*complete()[HELD_OUT[0]], study(yours, HIGH)]
    found = dict.fromkeys(("digits-mlp vision", *(f"task-{i} family-{i}" for i in range(tasks))), those)
    said = verdicts(studies(found), PROTOCOL, [MINE, yours])
    assert [sentence.startswith(f"{name} {word} ") for name, sentence in zip(("mine", "yours"), said, strict=True)] == [
        True,
        True,
    ]
    assert all("Holm over 2 entries" in sentence for sentence in said)


def test_it_is_not_used_where_it_is_not_true() -> None:
    found = {name: [study(MINE, LOW), *those[1:]] for name, those in complete().items()}
    (said,) = verdicts(studies(found), PROTOCOL, [MINE])
    assert said.startswith("mine is not shown to be better than ")


def test_it_is_not_used_where_one_task_of_six_says_the_opposite() -> None:
    found = complete() | {HELD_OUT[0]: [study(MINE, [value - 0.2 for value in LOW]), *complete()[HELD_OUT[0]][1:]]}
    (said,) = verdicts(studies(found), PROTOCOL, [MINE])
    assert said.startswith("mine is not shown to be better than ")
    assert "n = 6 held-out tasks" in said


def test_the_weakest_of_its_comparisons_decides() -> None:
    """As good as tuned AdamW on three tasks of six: three unequal pairs, p = 2 / 2^3, whatever the other baselines say."""
    those = complete()[HELD_OUT[0]]
    equal = [those[0], study(TUNED, HIGH), *those[2:]]
    found = {f"task-{i} family-{i % 2}": equal if i < 3 else those for i in range(6)}
    (said,) = verdicts(studies(found), PROTOCOL, [MINE])
    assert said.startswith("mine is not shown to be better than ")
    assert "largest p = 0.25" in said


def test_a_task_on_which_it_could_not_be_trained_speaks_against_it() -> None:
    those = complete()[HELD_OUT[0]]
    broken = replace(study(MINE, []), failure="not finite", report=())
    found = {f"task-{i} family-{i}": those for i in range(6)} | {"task-6 family-6": [broken, *those[1:]]}
    (said,) = verdicts(studies(found), PROTOCOL, [MINE])
    assert said.startswith("mine is not shown to be better than ")
    assert "n = 7 held-out tasks of 7 families" in said


def test_a_family_that_denies_it_is_not_outvoted_by_tasks_of_another() -> None:
    """Six tasks of one family for it and one of another slightly against it: W = 1 of seven ranks, p = 2 * 2 / 2^7 = .031."""
    those = complete()[HELD_OUT[0]]
    denied = [study(MINE, [value - 0.005 for value in LOW]), *those[1:]]
    found = {f"task-{i} text": those for i in range(6)} | {"task-6 tabular": denied}
    (said,) = verdicts(studies(found), PROTOCOL, [MINE])
    assert said.startswith("mine is not shown to be better than ")
    assert "n = 7 held-out tasks of 2 families" in said
    assert "largest p = 0.0312" in said, "over tasks alone it would be called better"
    agreed = found | {"task-6 tabular": those}
    assert verdicts(studies(agreed), PROTOCOL, [MINE])[0].startswith("mine is better than ")


def only_fixed_adamw() -> Found:
    return {name: [*those, study("adamw", LOW)] for name, those in without([TUNED]).items()}


def adamw_of_one_value_each() -> Found:
    fixed = study("adamw(weight_decay=0.1, beta2=0.99)", LOW)
    return {name: [*those, fixed] for name, those in without([TUNED]).items()}


def rmsprop_of_another_alpha() -> Found:
    return {name: [*those, study("rmsprop(alpha=0.9)", LOW)] for name, those in without(["rmsprop"]).items()}


def tuned_adamw_failed_somewhere() -> Found:
    found = complete()
    broken = replace(find(found["task-3 family-3"], TUNED), failure="out of memory", report=())
    return found | {"task-3 family-3": [broken, *(s for s in found["task-3 family-3"] if s.contender.name != TUNED)]}


def find(those: Sequence[Study], name: str) -> Study:
    return next(s for s in those if s.contender.name == name)


def one_with_a_larger_budget() -> Found:
    found = complete()
    return {name: [*those[:-1], study("momentum", LOW, "linear", budget=12)] for name, those in found.items()}


def five_held_out_tasks() -> Found:
    return {name: those for name, those in complete().items() if name != HELD_OUT[0]}


def held_out_tasks_of_one_family() -> Found:
    return {"digits-mlp vision": complete()[HELD_OUT[0]]} | {
        f"task-{i} text": those for i, those in enumerate(complete().values())
    }


def all_of_a_family_that_was_searched() -> Found:
    return {f"task-{i} vision": those for i, those in enumerate(complete().values())}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (only_fixed_adamw, "AdamW with tuned decay and beta2"),
        (adamw_of_one_value_each, "AdamW with tuned decay and beta2"),
        (tuned_adamw_failed_somewhere, "AdamW with tuned decay and beta2"),
        (lambda: without(["rmsprop"]), r"RMSProp\(0.99\)"),
        (rmsprop_of_another_alpha, r"RMSProp\(0.99\)"),
        (lambda: without([], "linear"), "a schedule that decays to zero"),
        (one_with_a_larger_budget, "one budget of tuning for all: there are 9 and 12 trials"),
        (five_held_out_tasks, "held-out tasks: 5 of the 6"),
        (all_of_a_family_that_was_searched, "held-out tasks: 0 of the 7"),
        (held_out_tasks_of_one_family, "held-out families: all 7 held-out tasks are of one, text"),
    ],
)
def test_the_word_is_refused_and_what_is_missing_is_said(found: Callable[[], Found], said: str) -> None:
    (reason,) = reasons(found())
    assert re.search(said, reason)
    (sentence,) = verdicts(studies(found()), PROTOCOL, [MINE])
    assert sentence.startswith('Whether mine is "better" is not said; missing: ')


def test_seeds_that_the_search_used_are_not_fresh() -> None:
    (reason,) = reasons(complete(), replace(PROTOCOL, report_seeds=(7, *PROTOCOL.report_seeds[1:])))
    assert reason.startswith("fresh seeds")


def test_the_finalists_of_a_search_whose_budgets_may_differ_are_never_called_better() -> None:
    (reason,) = reasons(complete(), replace(PROTOCOL, trials=None))
    assert reason.startswith("one budget")


@pytest.mark.parametrize("schedule", DECAYING)
def test_schedules_that_count_as_decaying_end_at_next_to_nothing(schedule: str) -> None:
    factors = rate_factors(schedule, 200)
    assert factors[-1] <= 0.02 * max(factors)
    assert sum(factors[-10:]) / 10 < 0.1 * max(factors)


# -- the summary as a whole --------------------------------------------------------------------------------------------------------


def summary(found: Found, *names: str) -> Summary:
    config = EvaluationConfig(tuple(names), ("a",), consecutive=2, reference="rmsprop")
    return Summary(studies(found), PROTOCOL, config, {})


def test_a_task_that_the_search_saw_and_its_family_count_neither_in_ranks_nor_in_wins() -> None:
    found = complete() | {"other vision": complete()["digits-mlp vision"]}
    content = summary(found).content({})
    seen = {(row["task"], row["seen"]) for row in content["rows"] if row["optimizer"] == "mine"}
    assert {("digits-mlp", "task"), ("other", "family"), ("task-0", None)} <= seen
    assert content["ranks"]["tasks"] == 6
    assert {wins["tasks"] for wins in content["wins"]} == {6}
    assert [name for name, task in content["tasks"].items() if task["evidence"]] == [n.split()[0] for n in HELD_OUT]
    assert all("n = " in claim or "missing: " in claim for claim in content["claims"])
    assert "n = 6 tasks that are evidence, of 6 families, 10 seeds each" in content["claims"][0]


def test_without_evidence_no_rank_is_claimed() -> None:
    content = summary({"digits-mlp vision": complete()["digits-mlp vision"]}).content({})
    assert content["ranks"] is None
    assert "Ranks need 2 tasks that are evidence; here is n = 0." in content["claims"]


def test_one_task_makes_no_rank_and_no_profile() -> None:
    found = complete()
    one, two = (summary({name: found[name] for name in HELD_OUT[:n]}).content({}) for n in (1, 2))
    assert one["ranks"] is one["profile"] is None
    assert "Ranks need 2 tasks that are evidence; here is n = 1." in one["claims"]
    assert two["ranks"]["tasks"] == two["profile"]["tasks"] == 2


def test_families_are_those_of_the_tasks_that_were_counted() -> None:
    found = complete()
    broken = [
        replace(s, failure="no", report=()) if s.contender.name in ("mine", "rmsprop") else s
        for s in found[HELD_OUT[0]]
    ]
    content = summary(found | {HELD_OUT[0]: broken}).content({})
    (claim,) = [claim for claim in content["claims"] if claim.startswith("mine against rmsprop, ")]
    assert "n = 5 tasks that are evidence, of 5 families" in claim, "neither was trained on the sixth"


def test_a_profile_says_on_how_many_tasks_every_entry_missed_the_target() -> None:
    said = summary({name: complete()[name] for name in HELD_OUT}).content({})["profile"]["words"]
    assert said.endswith("a miss is infinite, and on 6 of them every entry missed it."), "these children have no curves"


def test_what_counts_is_the_end_and_not_the_best_on_the_way() -> None:
    passing = study("adam", LOW)
    passing.report = tuple(child(value, seed, (0.1, 0.99, value)) for value, seed in zip(LOW, SEEDS, strict=True))
    rows = summary({HELD_OUT[0]: [passing, study("rmsprop", [value + 0.001 for value in LOW])]}).rows()
    assert [(row["optimizer"], row["rank"]) for row in rows] == [("rmsprop", 1.0), ("adam", 2.0)]
    assert (rows[1]["median"], rows[1]["best_median"]) == pytest.approx((0.845, 0.99))
    assert rows[1]["against"]["losses"] == 10


def test_diverged_children_have_the_worst_rank_and_stay_in_n() -> None:
    fallen: list[float | None] = [0.99, 0.99, 0.99, 0.99, *[None] * 6]
    found = {name: [study("adam", fallen), study("rmsprop", LOW)] for name in HELD_OUT}
    rows = summary(found).rows()
    (row, *_) = [row for row in rows if row["optimizer"] == "adam"]
    assert (row["rank"], row["n"], row["diverged"], row["median"]) == (2.0, 10, 6, 0.0)
    assert row["against"]["wins"] == 4
    assert row["against"]["losses"] == 6


def test_a_failure_shares_the_last_rank() -> None:
    broken = [replace(study(name, []), failure="no") for name in ("adam", "sgd")]
    rows = summary({name: [study("rmsprop", LOW), *broken] for name in HELD_OUT}).rows()
    assert [row["rank"] for row in rows[:3]] == [1.0, 2.5, 2.5]
    assert rows[1]["median"] is None
    assert rows[1]["against"] is None


def test_the_reference_is_adamw_else_the_first_baseline() -> None:
    def reference(*names: str) -> str:
        found = {"a b": [study(name, LOW) for name in names]}
        return Summary(studies(found), PROTOCOL, EvaluationConfig(names, ("a",)), {}).reference[0]

    assert reference("adam", "adamw") == "adamw"
    assert reference("g * m", "adam") == "adam"
    assert reference("g * m", "m") == "g * m"


def test_known_tasks_decide_what_a_search_has_seen() -> None:
    assert find_contender("adam").searched == frozenset()
    unknown = replace(MINE, searched=frozenset({"a-task-of-somebody"}))
    found: list[tuple[Task, Sequence[Study]]] = studies(complete())
    assert missing(unknown, found, PROTOCOL) == [
        "held-out tasks: its search saw a-task-of-somebody, whose family is not known here"
    ]
