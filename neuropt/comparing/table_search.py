"""A search on a complete table: the engine's own asking and telling, with a look into the table where it would screen and train.

    ask -> the table's rule, or rejected, or a duplicate -> reward of one seed -> tell

Trials follow each other, as on one worker: a search on several is told later what it asked earlier.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from controllers import Controller, Known, Outcome, Proposal
from neuropt.comparing.trace import Ended, Trace
from neuropt.searching.ledger import ProposalRow, RewardRow
from neuropt.searching.proposing import Candidate, Proposer, Verdict
from neuropt.tables.table import Judgement, Table

RULES_PER_TRIAL = 20
"""As a search has it by default: so many new rules are asked for, then the controller is told of them."""
PROPOSALS_PER_CHILD = 10
"""A search ends when it has made so many proposals for each child of its budget."""


def search_table(
    table: Table, judged: Judgement, controller: Controller, budget: int, name: str = "", seed: int = 0
) -> Trace:
    """Let a controller search a table until it has `budget` distinct children.

    Args:
        judged: whose rewards the controller is told.
        name, seed: of the controller, for the record.

    Raises:
        ValueError: the controller never proposed a rule of the table.
    """
    clocked = Clocked(controller)
    proposer = Proposer(clocked, TableJudge(table))
    rows: list[ProposalRow] = []
    children: list[tuple[int, int]] = []  # (rule, proposals so far)
    entropy, trial_ends = [], []
    ended: Ended = "budget"
    while len(children) < budget:
        asked = proposer.next_rules(min(RULES_PER_TRIAL, budget - len(children)))
        rows += asked
        new = [row for row in asked if row.status == "new"]
        proposer.learn(new, [_reward(row, table, judged) for row in new])
        children += [(int(row.key), row.id + 1) for row in new]
        if "entropy" in controller.metrics():
            entropy.append(controller.metrics()["entropy"])
            trial_ends.append(len(children))
        if proposer.exhausted or len(rows) >= PROPOSALS_PER_CHILD * budget:
            ended = "exhausted" if proposer.exhausted else "proposals"
            break
    if not children:
        raise ValueError(f"{name or 'the controller'} proposed no rule of {table.name} in {len(rows):,} proposals")
    statuses = [row.status for row in rows]
    return Trace(
        controller=name,
        seed=seed,
        seen=judged.seen[0],
        children=np.array([rule for rule, _ in children], np.int64),
        proposal=np.array([proposal for _, proposal in children], np.int64),
        proposals=len(rows),
        duplicates=statuses.count("duplicate"),
        rejected=statuses.count("rejected"),
        failed=sum(rule in table.failures for rule, _ in children),
        entropy=np.array(entropy, np.float64),
        trial_ends=np.array(trial_ends, np.int64),
        ended=ended,
        seconds=clocked.seconds,
    )


def _reward(row: ProposalRow, table: Table, judged: Judgement) -> RewardRow:
    """Return what the engine would make of the rule's children."""
    rule = int(row.key)
    failure = table.failures.get(rule)
    reward = float(judged.rewards[rule])
    return RewardRow(row.id, "trained" if failure is None else "failed", reward, None, None, None, failure)


class TableJudge:
    """Knows from a table what each string is; the key of a rule is its number.

    Args:
        table: of the space that is searched.
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    def __call__(self, tokens: tuple[int, ...]) -> Candidate:
        """Look a string up."""
        rule = self.table.lookup(tokens)
        if rule is None:
            reason = self.table.reason(tokens)
            return Candidate("", key=f"rejected: {reason}", screen=lambda: Verdict(reason, ""))
        text = self.table.rules[rule]
        return Candidate(text, key=str(rule), screen=lambda: Verdict(None, text))


class Clocked:
    """A controller whose CPU time is counted; one thread, so that it is comparable."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.seconds = 0.0

    def ask(self, n: int) -> list[Proposal]:
        """Propose `n` strings."""
        began = time.process_time()
        proposals = self.controller.ask(n)
        self.seconds += time.process_time() - began
        return proposals

    def tell(self, outcomes: list[Outcome]) -> None:
        """Learn from outcomes."""
        began = time.process_time()
        self.controller.tell(outcomes)
        self.seconds += time.process_time() - began

    def begin(self, known: Sequence[Known]) -> None:
        """Begin from known strings."""
        self.controller.begin(known)

    def metrics(self) -> dict[str, float]:
        """Report the last update."""
        return self.controller.metrics()

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future."""
        return self.controller.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.controller.load_state_dict(state)
