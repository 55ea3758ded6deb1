"""Tree search: what is counted, and where it goes."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from controllers import Known, Outcome, TreeSearch, TreeSettings
from controllers.settings import Duplicates
from controllers.tree_nodes import Ranks, Tree
from tests.controllers.small_space import SmallSpace

NO_DRAWS = np.zeros(3)
ALL = np.ones(3, dtype=np.bool_)


def test_a_try_adds_one_beginning_and_counts_as_deep_as_the_tree_was() -> None:
    tree = Tree(widest=3, max_nodes=10)
    assert [tree.count((0, 1, 2)) for _ in range(4)] == [1, 2, 3, 3]
    assert len(tree) == 3  # the root, (0), (0, 1)
    assert tree.count((0, 2, 2)) == 2
    assert len(tree) == 4


def test_the_upper_confidence_bound() -> None:
    tree = Tree(widest=3, max_nodes=10)
    for token, earned in ((0, 0.8), (0, 0.6), (1, 0.5), (2, 0.1)):
        tree.earn((token, 0), tree.count((token, 0)), earned)
    # means .7, .5, .1 of 2, 1, 1 tries; with exploration c: .7 + c sqrt(ln 4 / 2) = .7 + .833 c, .5 + 1.177 c, .1 + 1.177 c
    # equal at c = .2 / (1.177 - .833) = .58
    assert tree.choose(0, ALL, NO_DRAWS, exploration=0.5) == 0
    assert tree.choose(0, ALL, NO_DRAWS, exploration=0.65) == 1
    assert tree.choose(0, np.array([False, False, True]), NO_DRAWS, exploration=0.5) == 2


def test_tokens_never_tried_come_first_and_draws_decide_between_them() -> None:
    tree = Tree(widest=3, max_nodes=10)
    tree.earn((0, 0), tree.count((0, 0)), 1.0)
    assert tree.choose(0, ALL, np.array([0.9, 0.1, 0.2]), exploration=0.1) == 2


def test_a_try_can_be_taken_back() -> None:
    tree, untouched = Tree(widest=3, max_nodes=10), Tree(widest=3, max_nodes=10)
    for each in (tree, untouched):
        each.earn((0, 0), each.count((0, 0)), 0.5)
    tree.earn((0, 0), tree.count((0, 0)), None)
    # the beginning that it added stays
    assert tree.state_dict()["tried"][0].tolist() == untouched.state_dict()["tried"][0].tolist() == [1.0, 0.0, 0.0]


def test_a_full_tree_learns_on() -> None:
    tree = Tree(widest=3, max_nodes=2)
    assert [tree.count((0, 1, 2)), tree.count((1, 1, 1)), tree.count((0, 1, 2)), tree.count((0, 1, 2))] == [1, 1, 2, 2]
    assert len(tree) == 2


def test_ranks() -> None:
    ranks = Ranks(size=3)
    assert ranks.of(0.5) == 0.5
    for reward in (9.0, 0.1, 0.2, 0.2):  # the 9 is forgotten
        ranks.add(reward)
    # above one of three, equal to two: 1/3 + 1/2 * 2/3
    assert ranks.of(0.2) == pytest.approx(2 / 3)
    assert (ranks.of(0.0), ranks.of(1.0)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("duplicates", "earned", "tried"),
    [("floor", 0.5**4, 2.0), ("skip", 0.5**4, 1.0), ("paid", 0.5**4 + 1.0, 2.0)],
)
def test_what_a_duplicate_counts(duplicates: Duplicates, earned: float, tried: float) -> None:
    controller = TreeSearch(SmallSpace(), TreeSettings(duplicates=duplicates), seed=1)
    a, b = controller.ask(2)
    # the first reward has rank 1/2 among none; a duplicate with more has rank 1
    controller.tell([Outcome(a.id, a.tokens, "trained", 0.4), Outcome(b.id, b.tokens, "duplicate", 0.8)])
    tree = controller.state_dict()["tree"]
    assert isinstance(tree, dict)
    assert tree["earned"][0].sum().item() == pytest.approx(earned)
    assert tree["tried"][0].sum().item() == tried


def test_strings_asked_together_differ_in_their_first_token() -> None:
    firsts = Counter(p.tokens[0] for p in TreeSearch(SmallSpace(), seed=1).ask(10))
    assert set(firsts.values()) == {2}  # five operands


def test_a_good_beginning_is_followed() -> None:
    controller = TreeSearch(SmallSpace(), TreeSettings(exploration=0.1), seed=1)
    for _ in range(20):
        controller.tell(
            [Outcome(p.id, p.tokens, "trained", float(p.tokens[0] == 3) + p.id / 1e3) for p in controller.ask(10)]
        )
    assert sum(p.tokens[0] == 3 for p in controller.ask(100)) > 60


def test_known_rewards_are_credited_as_deep_as_they_were_counted() -> None:
    controller = TreeSearch(SmallSpace(), seed=1)
    controller.begin([Known((3, 1, 0, 0, 2), 0.5), Known((3, 1, 0, 0, 2), 0.7)])
    tree = controller.state_dict()["tree"]
    assert isinstance(tree, dict)
    assert bool((tree["earned"] <= tree["tried"]).all())
    assert tree["tried"].sum().item() == 3  # 1 token, then 2
    assert math.isclose(tree["earned"].sum().item(), 0.5**4 + 2 * 1.0)
