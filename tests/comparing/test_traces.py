"""What is read off a trace, against traces small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from neuropt.comparing.comparison import compare_measured
from neuropt.comparing.measured import counts, curves, measure
from neuropt.comparing.trace import Trace, at_counts, best_so_far, chosen_so_far, first_hit
from neuropt.tables.table import Judgement, Table
from neuropt.tables.table_file import load_table

# five rules; the seen seed prefers rules 2 and 4 alike, the others say that rule 1 is best
REWARDS = np.array([0.1, 0.5, 0.9, 0.3, 0.9])
QUALITIES = np.array([-1.0, 2.0, 0.5, 0.0, 1.5])
JUDGED = Judgement((0,), (1,), np.zeros(5, np.int64), REWARDS, QUALITIES, QUALITIES)


def trace(children: list[int], proposal: list[int], proposals: int, **changes: object) -> Trace:
    values: dict[str, object] = {
        "controller": "by hand",
        "seed": 0,
        "seen": 0,
        "children": np.array(children),
        "proposal": np.array(proposal),
        "proposals": proposals,
        "duplicates": proposals - len(children),
        "rejected": 0,
        "failed": 0,
        "entropy": np.array([]),
        "trial_ends": np.array([], np.int64),
        "ended": "budget",
    }
    return Trace(**(values | changes))  # type: ignore[arg-type]  # a dictionary of the fields


def test_the_first_hit_counts_children_from_one() -> None:
    children = np.array([7, 3, 9, 4])
    assert first_hit(children, np.array([7])) == 1
    assert first_hit(children, np.array([4, 9])) == 3
    assert first_hit(children, np.array([5])) is None


def test_the_best_so_far_is_judged_by_quality_and_the_choice_by_reward() -> None:
    children = np.array([0, 4, 2, 1, 3])
    # qualities in this order: -1, 1.5, .5, 2, 0
    assert best_so_far(children, JUDGED).tolist() == [-1.0, 1.5, 1.5, 2.0, 2.0]
    # rule 4 has the best reward; rule 2 ties with it later, rule 1 is better only where the search cannot see
    assert chosen_so_far(children, JUDGED).tolist() == [-1.0, 1.5, 1.5, 1.5, 1.5]
    assert chosen_so_far(np.array([2, 4]), JUDGED).tolist() == [0.5, 0.5]


def test_a_curve_holds_what_was_reached_last() -> None:
    values, reached = np.array([0.5, 0.9]), np.array([2, 5])
    found = at_counts(values, reached, np.array([1, 2, 4, 5, 9]))
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.5, 0.5, 0.9, 0.9]
    assert np.isnan(at_counts(np.array([]), np.array([], np.int64), np.array([1, 2]))).all()


def test_counts_end_with_the_last_and_are_distinct() -> None:
    assert counts(3).tolist() == [1, 2, 3]
    assert counts(2000).tolist() == list(range(40, 2001, 40))


def test_curves_of_proposals_end_with_the_proposals() -> None:
    # children at proposals 1, 3 and 4, then two duplicates: six proposals; counts go on to twice the budget of 4
    one = curves(trace([0, 2, 1], [1, 3, 4], 6), JUDGED, np.array([1]), budget=4)
    assert one.proposals.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert one.by_proposals[:6].tolist() == [-1.0, -1.0, 0.5, 2.0, 2.0, 2.0]
    assert np.isnan(one.by_proposals[6:]).all()
    assert one.by_children.tolist() == [-1.0, 0.5, 2.0, 2.0]
    assert one.found.tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.fixture
def real(table: str) -> Table:
    return load_table(table)


def test_what_is_not_found_counts_as_the_budget(real: Table) -> None:
    found = measure(trace([0, 2, 1], [1, 3, 4], 6), real, JUDGED, np.array([1]), budget=9)
    missed = measure(trace([0, 2, 1], [1, 3, 4], 6), real, JUDGED, np.array([4]), budget=9)
    assert (found.first, found.found) == (3, True)
    assert (missed.first, missed.found) == (9, False)
    assert found.distinct_share == 0.5
    assert (found.best, found.chosen) == (2.0, 0.5)
    assert found.rule == real.rules[2]


def test_never_is_later_than_the_last_child(real: Table) -> None:
    """On each of six seeds one finds the rule with the last child of the budget, random never: better, though both count as 3."""
    rows = [
        measure(trace(children, [1, 2, 3], 3, controller=name, seed=seed), real, JUDGED, np.array([1]), budget=3)
        for seed in range(6)
        for name, children in (("random", [0, 2, 3]), ("late", [0, 2, 1]))
    ]
    random, late = compare_measured(rows)
    assert random.first == late.first
    assert (random.found, late.found) == (0.0, 1.0)
    assert late.sooner is not None
    assert late.sooner.value == 1.0
    assert late.first_against is not None
    assert late.first_against.paired.wins == 6
    # six wins of six: p = 2 / 2^6; the choices tie, p = 1; Holm doubles the smaller
    assert late.first_against.p_holm == pytest.approx(2 * 2 / 64)
    assert random.first_against is None
