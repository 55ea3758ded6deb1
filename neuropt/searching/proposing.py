"""From proposals to rules worth training: decode, identify, screen.

Of ten strings about six are algebraic or rescaled copies of one tried before, or do not descend; they cost no child.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controllers import Controller, Outcome, Proposal
from neuropt.searching.ledger_rows import ProposalRow, RewardRow
from search_space import Rule, Screening, SearchSpace, Trajectory, negate
from search_space.graph import Node, rule_graph
from search_space.identity import identify_node
from search_space.screening import screen_node

EXHAUSTED_AFTER = 5_000
"""So many proposals in a row without a new rule, and the space counts as exhausted."""


class Proposer:
    """Asks a controller until it has new rules.

    Args:
        controller: who proposes.
        space: decodes.
        trajectory: recorded gradients of the task.
        first: proposals are numbered from here; not from 0 where the controller began afresh in the middle of a run.
    """

    def __init__(self, controller: Controller, space: SearchSpace, trajectory: Trajectory, first: int = 0) -> None:
        self.controller, self.space, self.trajectory, self.first = controller, space, trajectory, first
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
        rule = self.decode(proposal)
        graph, key = self.identify(rule)
        self.barren += 1
        row = ProposalRow(self.first + proposal.id, proposal.tokens, rule.text, key, "new", None, None, False, None)
        if key in self.seen:
            return replace(row, status="duplicate", original=self.seen[key])
        if key in self.rejected:
            return replace(row, status="rejected", reason=self.rejected[key])
        screening = self.screen(graph)
        if not screening.accepted:
            self.rejected[key] = screening.reason or "rejected"
            return replace(row, status="rejected", reason=self.rejected[key])
        self.seen[key] = row.id
        self.barren = 0
        negated = screening.sign < 0
        text = negate(rule).text if negated else rule.text
        return replace(row, rule=text, negated=negated, scale=screening.scale)

    def decode(self, proposal: Proposal) -> Rule:
        """Return the rule that a string says."""
        return self.space.decode(proposal.tokens)

    def identify(self, rule: Rule) -> tuple[Node, str]:
        """Return a rule's graph, and its key up to a factor of either sign."""
        graph = rule_graph(rule)
        return graph, identify_node(graph).either

    def screen(self, graph: Node) -> Screening:
        """Test a rule on the task's recorded gradients."""
        return screen_node(graph, self.trajectory)

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
        self.note(rows, rewards)
        self.controller.tell(
            [
                Outcome(row.id - self.first, row.tokens, reward.status, reward.reward)
                for row, reward in zip(rows, rewards, strict=True)
                if row.id >= self.first
            ]
        )

    def note(self, rows: Sequence[ProposalRow], rewards: Sequence[RewardRow]) -> None:
        """Know rewards, for duplicates to come."""
        self.rewards |= {row.id: reward.reward for row, reward in zip(rows, rewards, strict=True)}

    def remember(self, rows: Sequence[ProposalRow]) -> None:
        """Know rules that were proposed once."""
        for row in rows:
            self.barren = 0 if row.status == "new" else self.barren + 1
            if row.status == "new":
                self.seen[row.key] = row.id
            elif row.status == "rejected" and row.reason is not None:
                self.rejected[row.key] = row.reason
