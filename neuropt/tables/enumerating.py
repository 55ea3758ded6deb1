"""Every distinct rule of a space that a search on a task would train.

The strings of a space, in their order, go through what a search does with a proposal: decode, identify, screen. Of the 116,160 allowed
strings of `icml2017` with one group, each of about 13,700 distinct rules is the first of several that say the same, and the rest is
rejected. A string's number is its place among all strings, allowed or not: op1 is the first digit, b the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_space import SearchSpace, Trajectory, negate
from search_space.graph import rule_graph
from search_space.identity import Identity, identify_node
from search_space.screening import Screening, screen_node

MOST_STRINGS = 2_000_000
"""Larger spaces are not enumerated."""
FORBIDDEN = -1
"""In `rule_of`: a string that the space's constraints do not allow. A string that is rejected for `reasons[k]` has -2 - k."""
SAY_EVERY = 5_000


@dataclass(frozen=True, eq=False)
class Enumeration:
    """The distinct rules of a space, and what each of its strings says.

    Args:
        rules: texts, each of the first string that says the rule, negated where it descends only so.
        tokens: int16, (rules, length), those strings.
        scales: float64, (rules,), mean |u| on the task's recorded trajectory.
        cosines: float64, (rules,), mean cosine of the first string's update with the gradient; negative where the rule was negated.
        keys: (rules,), identity up to a factor of either sign, 16 hexadecimal digits.
        rule_of: int32, (strings,), the rule that a string says, or a negative number; see `FORBIDDEN`.
        negated: bool, (strings,), whether the string says the opposite of its rule.
        reasons: why strings are rejected.
    """

    rules: tuple[str, ...]
    tokens: NDArray[np.int16]
    scales: NDArray[np.float64]
    cosines: NDArray[np.float64]
    keys: NDArray[np.bytes_]
    rule_of: NDArray[np.int32]
    negated: NDArray[np.bool_]
    reasons: tuple[str, ...]


def enumerate_rules(
    space: SearchSpace, trajectory: Trajectory, say: Callable[[int, int, int], None] = lambda *_: None
) -> Enumeration:
    """Decode, identify and screen every allowed string of a space.

    Args:
        space: with at most `MOST_STRINGS` strings.
        trajectory: recorded gradients of the task.
        say: is told (strings done, strings, rules) now and then.

    Raises:
        ValueError: a larger space, or one with no rule that passes the screen.
    """
    strings = allowed_strings(space)
    judge = _Judge(trajectory)
    rule_of = np.full(space.size, FORBIDDEN, np.int32)
    negated = np.zeros(space.size, np.bool_)
    for done, (number, tokens) in enumerate(
        zip(string_numbers(space, strings).tolist(), strings.tolist(), strict=True)
    ):
        if done % SAY_EVERY == 0:
            say(done, len(strings), len(judge.firsts))
        rule_of[number], negated[number] = judge(space, tuple(tokens))
    say(len(strings), len(strings), len(judge.firsts))
    if not judge.firsts:
        raise ValueError(f"no rule of {spelled(space)} passes the screen on this task")
    firsts = judge.firsts
    return Enumeration(
        rules=tuple(first.text for first in firsts),
        tokens=np.array([first.tokens for first in firsts], np.int16),
        scales=np.array([first.screening.scale for first in firsts], np.float64),
        cosines=np.array([first.screening.cosine for first in firsts], np.float64),
        keys=np.array([first.identity.either.encode() for first in firsts], "S16"),
        rule_of=rule_of,
        negated=negated,
        reasons=tuple(judge.reasons),
    )


def check_size(space: SearchSpace) -> None:
    """Raise a ValueError for a space that is too large to enumerate."""
    if space.size > MOST_STRINGS:
        raise ValueError(
            f"{spelled(space)} has {space.size:,} strings; a table is of at most {MOST_STRINGS:,}. "
            "Take fewer groups or a smaller vocabulary"
        )


def allowed_strings(space: SearchSpace) -> NDArray[np.int64]:
    """Return all strings that the constraints of a space allow, (strings, length), in their order.

    >>> from search_space import load_space
    >>> allowed_strings(load_space("tiny")).shape
    (384, 5)
    """
    check_size(space)
    prefixes = np.zeros((1, 0), np.int64)
    for _ in space.choices:
        row, token = space.masks(prefixes).nonzero()
        prefixes = np.concatenate([prefixes[row], token[:, None]], axis=1)
    return prefixes


def string_numbers(space: SearchSpace, strings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of strings, (strings,)."""
    return np.asarray(np.ravel_multi_index(tuple(strings.T), space.choices), np.int64)


def spelled(space: SearchSpace) -> str:
    """Return how messages call a space."""
    return f"{space.name} with {space.groups} group{'s' * (space.groups > 1)}"


@dataclass(frozen=True, slots=True)
class _First:
    """The first string that says a rule."""

    tokens: tuple[int, ...]
    text: str
    identity: Identity
    screening: Screening


class _Judge:
    """Says what a string is, as `Proposer` does for a proposal; equal graphs are looked at once."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory = trajectory
        self.firsts: list[_First] = []
        self.reasons: dict[str, int] = {}
        self.by_graph: dict[bytes, tuple[int, bool]] = {}
        self.by_key: dict[str, int] = {}

    def __call__(self, space: SearchSpace, tokens: tuple[int, ...]) -> tuple[int, bool]:
        """Return the entries of the string in `rule_of` and `negated`."""
        rule = space.decode(tokens)
        root = rule_graph(rule)
        if root.key not in self.by_graph:
            identity = identify_node(root)
            if identity.either not in self.by_key:
                screening = screen_node(root, self.trajectory)
                self.by_key[identity.either] = self._number(screening)
                if screening.accepted:
                    text = negate(rule).text if screening.sign < 0 else rule.text
                    self.firsts.append(_First(tokens, text, identity, screening))
            self.by_graph[root.key] = self._found(identity, self.by_key[identity.either])
        return self.by_graph[root.key]

    def _number(self, screening: Screening) -> int:
        if screening.accepted:
            return len(self.firsts)
        return FORBIDDEN - 1 - self.reasons.setdefault(screening.reason or "rejected", len(self.reasons))

    def _found(self, identity: Identity, number: int) -> tuple[int, bool]:
        if number < 0:
            return number, False
        first = self.firsts[number]
        # the rule is the first string's, negated where its sign is -1; this string may be the opposite of that one
        opposite = identity.positive != first.identity.positive
        return number, opposite != (first.screening.sign < 0)
