"""From proposals to rules worth training: decode, identify, screen.

Of ten strings about six are algebraic or rescaled copies of one tried before, or do not descend; they cost no child.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from controllers import Controller, Outcome, Proposal
from neuropt.searching.ledger import ProposalRow, RewardRow
from search_space import SearchSpace, Trajectory, negate
from search_space.graph import rule_graph
from search_space.identity import identify_node
from search_space.screening import screen_node

EXHAUSTED_AFTER = 5_000
"""So many proposals in a row without a new rule, and the space counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule is worth training.

    Args:
        reason: why not, or None.
        rule: its text, negated where it descends only so.
        negated: whether it was.
        scale: mean |u| on the task's recorded trajectory.
    """

    reason: str | None
    rule: str
    negated: bool = False
    scale: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a string says.

    Args:
        rule: text.
        key: identity up to a factor of either sign.
        screen: says whether it is worth training; asked only of rules that are not known.
    """

    rule: str
    key: str
    screen: Callable[[], Verdict]


Judge = Callable[[tuple[int, ...]], Candidate]
"""Says what a string is: `Screen` by decoding it, a complete table by looking it up."""


class Screen:
    """Decodes strings, identifies rules, and screens them on a task's gradients.

    Args:
        space: decodes.
        trajectory: recorded gradients of the task.
    """

    def __init__(self, space: SearchSpace, trajectory: Trajectory) -> None:
        self.space, self.trajectory = space, trajectory

    def __call__(self, tokens: tuple[int, ...]) -> Candidate:
        """Decode and identify; screening waits until it is asked for."""
        rule = self.space.decode(tokens)
        graph = rule_graph(rule)

        def screen() -> Verdict:
            screening = screen_node(graph, self.trajectory)
            if not screening.accepted:
                return Verdict(screening.reason or "rejected", rule.text)
            negated = screening.sign < 0
            return Verdict(None, negate(rule).text if negated else rule.text, negated, screening.scale)

        return Candidate(rule.text, identify_node(graph).either, screen)


class Proposer:
    """Asks a controller until it has new rules.

    Args:
        controller: who proposes.
        judge: says what a string is.
        first: proposals are numbered from here; not from 0 where the controller began afresh in the middle of a run.
    """

    def __init__(self, controller: Controller, judge: Judge, first: int = 0) -> None:
        self.controller, self.judge, self.first = controller, judge, first
        self.seen: dict[str, int] = {}  # key -> the first proposal of the rule
        self.rejected: dict[str, str] = {}  # key -> reason
        self.rewards: dict[int, float] = {}
        self.barren = 0

    @property
    def exhausted(self) -> bool:
        """Whether the controller has not found a new rule for very long."""
        return self.barren >= EXHAUSTED_AFTER

    def next_rules(self, count: int) -> list[ProposalRow]:
        """Ask until `count` new rules are found or the space is exhausted; return all that was proposed meanwhile.

        The controller is asked for as many as are still missing, and told of duplicates and rejected rules at once.
        """
        rows: list[ProposalRow] = []
        missing = count
        while missing and not self.exhausted:
            batch = [self._judged(proposal) for proposal in self.controller.ask(missing)]
            self.tell_useless(batch)
            rows += batch
            missing -= sum(row.status == "new" for row in batch)
        return rows

    def _judged(self, proposal: Proposal) -> ProposalRow:
        said = self.judge(proposal.tokens)
        key = said.key
        self.barren += 1
        row = ProposalRow(self.first + proposal.id, proposal.tokens, said.rule, key, "new", None, None, False, None)
        if key in self.seen:
            return replace(row, status="duplicate", original=self.seen[key])
        if key in self.rejected:
            return replace(row, status="rejected", reason=self.rejected[key])
        verdict = said.screen()
        if verdict.reason is not None:
            self.rejected[key] = verdict.reason
            return replace(row, status="rejected", reason=verdict.reason)
        self.seen[key] = row.id
        self.barren = 0
        return replace(row, rule=verdict.rule, negated=verdict.negated, scale=verdict.scale)

    def tell_useless(self, rows: Sequence[ProposalRow]) -> None:
        """Tell the controller of duplicates, with the reward of their first occurrence if it is known, and of rejected rules."""
        outcomes = []
        for row in rows:
            if row.status == "duplicate" and row.original is not None:
                outcomes.append(Outcome(row.id - self.first, row.tokens, "duplicate", self.rewards.get(row.original)))
            elif row.status == "rejected":
                outcomes.append(Outcome(row.id - self.first, row.tokens, "rejected"))
        self.controller.tell(outcomes)

    def replay(self, count: int, recorded: Sequence[ProposalRow]) -> bool:
        """Ask again what was asked once; return whether the controller proposes what the ledger holds.

        Nothing is decoded or screened again: the ledger's word counts.
        """
        position, missing = 0, count
        while missing and position < len(recorded):
            asked = self.controller.ask(missing)
            batch = recorded[position : position + len(asked)]
            if [(self.first + p.id, p.tokens) for p in asked] != [(row.id, row.tokens) for row in batch]:
                return False
            self.remember(batch)
            self.tell_useless(batch)
            position += len(asked)
            missing -= sum(row.status == "new" for row in batch)
        return position == len(recorded)

    def learn(self, rows: Sequence[ProposalRow], rewards: Sequence[RewardRow]) -> None:
        """Tell the controller what became of rules that it proposed; of what it did not propose, only note the reward."""
        outcomes = []
        for row, reward in zip(rows, rewards, strict=True):
            self.rewards[row.id] = reward.reward
            if row.id >= self.first:
                outcomes.append(Outcome(row.id - self.first, row.tokens, reward.status, reward.reward))
        self.controller.tell(outcomes)

    def remember(self, rows: Sequence[ProposalRow]) -> None:
        """Know rules that were proposed once."""
        for row in rows:
            self.barren = 0 if row.status == "new" else self.barren + 1
            if row.status == "new":
                self.seen[row.key] = row.id
            elif row.status == "rejected" and row.reason is not None:
                self.rejected[row.key] = row.reason
