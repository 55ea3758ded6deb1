"""Which tokens may come next: the constraints of a search space as a finite automaton.

A state holds what the constraints still need to know, no more:

    before op1          which earlier results nobody has used yet
    before op2          that, and the token of op1
    before u1, u2, b    that without op1's result, and the result in op2, which counts as used unless b keeps the left only

So a few dozen states cover billions of strings. States that no string can leave are removed backwards; what remains can always be
completed, and counting paths counts the allowed strings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
String = Sequence[int] | Tokens
"""The tokens of one string."""
State = tuple[int, ...]
_PER_GROUP = 5


@dataclass(frozen=True, slots=True)
class Constraints:
    """What strings must satisfy.

    Args:
        groups: number of groups.
        operands: operands before any result joins them.
        unary: unary functions.
        binary: binary functions.
        keep_left: those that ignore their right side.
        sums: those that a last group may not use.
        distinct_operands: op1 is not op2.
        use_earlier_results: every group but the first has an earlier result as an operand.
        forbid_unused_results: every result but the last is used, where the right of `keep_left` is no use.
    """

    groups: int
    operands: int
    unary: int
    binary: int
    keep_left: frozenset[int]
    sums: frozenset[int]
    distinct_operands: bool
    use_earlier_results: bool
    forbid_unused_results: bool

    @property
    def choices(self) -> tuple[int, ...]:
        """The number of tokens at each position."""
        return tuple(
            n
            for group in range(self.groups)
            for n in (self.operands + group, self.operands + group, self.unary, self.unary, self.binary)
        )

    def follow(self, position: int, state: State, token: int) -> State | None:
        """Return the state after `token`, or None where it breaks a constraint."""
        group, place = divmod(position, _PER_GROUP)
        result = token - self.operands  # which earlier result the token is, if not negative
        if place == 0:
            (unused,) = state
            return unused, token
        if place == 1:
            unused, first = state
            if self.distinct_operands and token == first:
                return None
            if self.use_earlier_results and group > 0 and max(token, first) < self.operands:
                return None
            unused = _without(unused, first - self.operands)
            return unused, (result if result >= 0 and unused >> result & 1 else -1)
        if place < 4:
            return state
        unused, right = state
        last = group == self.groups - 1
        if last and token in self.sums:
            return None
        if token not in self.keep_left:
            unused = _without(unused, right)
        if last:
            return None if unused else (0,)
        return (unused | 1 << group,) if self.forbid_unused_results else (0,)


def _without(unused: int, result: int) -> int:
    return unused & ~(1 << result) if result >= 0 else unused


class Automaton:
    """Constraints as tables; state 0 is where forbidden tokens lead."""

    def __init__(self, constraints: Constraints) -> None:
        self.choices = constraints.choices
        steps = _reachable(self.choices, constraints.follow)
        self.next: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(self.choices)
        self.allowed: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)] * len(self.choices)
        self.strings = 1
        counts = [0, 1]  # strings from each state to the end, after the last position
        for position in reversed(range(len(self.choices))):
            table = steps[position]  # (states, choices)
            alive = np.array([count > 0 for count in counts])
            table = np.where(alive[table], table, 0)
            counts = [sum(counts[state] for state in row) for row in table.tolist()]
            self.next[position], self.allowed[position] = table.reshape(-1), table > 0
        self.strings = counts[1]

    def masks(self, prefixes: Tokens) -> NDArray[np.bool_]:
        """Return which tokens may follow each prefix: (batch, k) -> (batch, choices[k])."""
        state = np.ones(len(prefixes), np.int64)
        for position in range(prefixes.shape[1]):
            state = self.next[position].take(state * self.choices[position] + prefixes[:, position])
        return self.allowed[prefixes.shape[1]].take(state, axis=0)

    def allows(self, tokens: Tokens) -> bool:
        """Whether one whole string, (positions,), keeps the constraints."""
        state = 1
        for position, token in enumerate(tokens.tolist()):
            state = int(self.next[position][state * self.choices[position] + token])
        return state > 0


def _reachable(choices: tuple[int, ...], follow: Callable[[int, State, int], State | None]) -> list[NDArray[np.int64]]:
    """Return the state after each state and token, (states, choices), for each position."""
    tables: list[NDArray[np.int64]] = []
    states: dict[State, int] = {(0,): 1}
    for position, count in enumerate(choices):
        after: dict[State, int] = {}
        table = np.zeros((len(states) + 1, count), np.int64)
        for state, row in states.items():
            for token in range(count):
                reached = follow(position, state, token)
                if reached is not None:
                    table[row, token] = after.setdefault(reached, len(after) + 1)
        tables.append(table)
        states = after
    return tables
