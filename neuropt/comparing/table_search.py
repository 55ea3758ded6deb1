"""A search on a complete table: the engine's own asking and telling, with a look into the table where it would screen and train.

    ask -> the table's rule, or rejected, or a duplicate -> reward of one seed -> tell

It is `neuropt search --task table:NAME` without a ledger.
Trials follow each other, as on one worker: a search on several is told later what it asked earlier.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import numpy as np

from controllers import Controller, Known, Outcome, Proposal
from neuropt.comparing.trace import Ended, Trace
from neuropt.searching.ledger_rows import ProposalRow, RewardRow
from neuropt.tables.table import Judgement, Table
from neuropt.tables.table_source import TableProposer

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
    proposer = TableProposer(clocked, table.space, table)
    rows: list[ProposalRow] = []
    children: list[tuple[int, int]] = []  # (rule, proposals so far)
    entropy, trial_ends = [], []
    ended: Ended = "budget"
    while len(children) < budget:
        asked = proposer.next_rules(min(RULES_PER_TRIAL, budget - len(children)))
        rows += asked
        new = [row for row in asked if row.status == "new"]
        said = [int(table.rule_of[table.number(row.tokens)]) for row in new]
        proposer.learn(new, [_reward(row, rule, table, judged) for row, rule in zip(new, said, strict=True)])
        children += [(rule, row.id + 1) for row, rule in zip(new, said, strict=True)]
        if "entropy" in controller.metrics():
            entropy.append(controller.metrics()["entropy"])
            trial_ends.append(len(children))
        if proposer.exhausted or len(rows) >= PROPOSALS_PER_CHILD * budget:
            ended = "exhausted" if proposer.exhausted else "proposals"
            break
    if not children:
        raise ValueError(f"the controller proposed no rule of {table.name} in {len(rows):,} proposals")
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


def _reward(row: ProposalRow, rule: int, table: Table, judged: Judgement) -> RewardRow:
    """Return what the engine makes of the rule's children."""
    failure = table.failures.get(rule)
    status: Literal["trained", "failed"] = "trained" if failure is None else "failed"
    return RewardRow(row.id, status, float(judged.rewards[rule]), None, None, None, failure)


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
