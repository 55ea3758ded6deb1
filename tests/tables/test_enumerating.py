"""A space's distinct rules are those that a search would train, each once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from controllers import Known, Outcome, Proposal
from neuropt.searching.proposing import Proposer
from neuropt.tables.enumerating import Enumeration, allowed_strings, enumerate_rules, string_numbers
from search_space import SearchSpace, Trajectory, load_space, parse_rule, same_rule


class Lister:
    """A controller that proposes all strings, in their order, and learns nothing."""

    def __init__(self, space: SearchSpace) -> None:
        self.strings = [tuple(string) for string in allowed_strings(space).tolist()]
        self.asked = 0

    def begin(self, known: Sequence[Known]) -> None: ...

    def ask(self, n: int) -> list[Proposal]:
        first, self.asked = self.asked, self.asked + n
        return [Proposal(first + i, tokens) for i, tokens in enumerate(self.strings[first : first + n])]

    def tell(self, outcomes: list[Outcome]) -> None: ...

    def metrics(self) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None: ...


def test_allowed_strings_are_those_that_the_space_allows(space: SearchSpace) -> None:
    every = itertools.product(*(range(count) for count in space.choices))
    assert allowed_strings(space).tolist() == [list(tokens) for tokens in every if space.allows(tokens)]


def test_numbers_are_places_among_all_strings(space: SearchSpace) -> None:
    every = np.array(list(itertools.product(*(range(count) for count in space.choices))))
    assert string_numbers(space, every).tolist() == list(range(space.size))


def test_what_is_found_is_what_a_search_makes_of_the_same_strings(
    space: SearchSpace, trajectory: Trajectory, rules: Enumeration
) -> None:
    rows = Proposer(Lister(space), space, trajectory).next_rules(len(rules.rules))
    assert len(rows) > 200
    new = [row for row in rows if row.status == "new"]
    assert tuple(row.rule for row in new) == rules.rules
    assert [row.tokens for row in new] == [tuple(tokens) for tokens in rules.tokens.tolist()]
    assert [row.scale for row in new] == rules.scales.tolist()
    assert [row.key.encode() for row in new] == rules.keys.tolist()
    place = {row.id: position for position, row in enumerate(new)}
    for row, number in zip(rows, string_numbers(space, np.array([r.tokens for r in rows])), strict=True):
        found = int(rules.rule_of[number])
        match row.status:
            case "new":
                assert (found, bool(rules.negated[number])) == (place[row.id], row.negated)
            case "duplicate":
                assert row.original is not None
                assert found == place[row.original]
            case "rejected":
                assert rules.reasons[-2 - found] == row.reason


def test_every_string_says_its_rule_or_the_opposite(space: SearchSpace, rules: Enumeration) -> None:
    for tokens in allowed_strings(space).tolist():
        (number,) = string_numbers(space, np.array([tokens]))
        if rules.rule_of[number] >= 0:
            rule = parse_rule(rules.rules[rules.rule_of[number]])
            assert same_rule(space.decode(tokens), rule) != rules.negated[number], tokens


def test_strings_that_are_not_allowed_say_nothing(space: SearchSpace, rules: Enumeration) -> None:
    assert int((rules.rule_of == -1).sum()) == space.size - space.allowed_size


def test_a_space_without_end_is_refused(trajectory: Trajectory) -> None:
    with pytest.raises(ValueError, match=r"icml2017 with 2 groups has 27,079,993,600 strings; a table is of at most"):
        enumerate_rules(load_space("icml2017", groups=2), trajectory)


def test_a_space_of_which_nothing_passes_is_refused(trajectory: Trajectory, tmp_path: Path) -> None:
    file = tmp_path / "still.toml"
    file.write_text(
        'name = "still"\ndescription = "weights only"\noperands = ["w", "1e-2 * w"]\nunary = ["x"]\nbinary = ["x - y"]\n',
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="no rule of still with 1 group passes the screen"):
        enumerate_rules(load_space(file), trajectory)
