"""The engine of a search: propose, train, record, learn.

    next_trial():  controller.ask -> identity -> screen -> ledger            an executor trains what is new
    finish(k):     ledger -> controller.tell                                 in the order of finishing, or of asking if deterministic

With `deterministic`, trial k is asked after the controller was told of exactly the trials up to k - lag, in their order, whoever
finishes first. Otherwise a trial is asked when a worker wants one. Either way the ledger holds the order of events, and `resume` replays
it.
"""

from __future__ import annotations

from typing import Literal

from controllers import Controller, Outcome
from neuropt.config import SearchConfig
from neuropt.searching.executor import Trial
from neuropt.searching.ledger import Ledger, LedgerError, ProposalRow, RewardRow
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import Proposer
from neuropt.searching.rewards import rule_reward
from neuropt.tasks.task import Task
from neuropt.training.learning_rates import learning_rates
from neuropt.training.work import Done, Job, Trained, Work

CHILD_SEEDS = 10_000
"""Children of a search with seed s are trained on seeds 10,000 s', 10,000 s' + 1, ...; see `child_seeds`."""


def child_seeds(config: SearchConfig) -> tuple[int, ...]:
    """Return the seeds that every rule of a search is trained on."""
    first = (config.seed % CHILD_SEEDS) * CHILD_SEEDS
    return tuple(range(first, first + config.child_seeds))


class SearchEngine:
    """One search.

    Args:
        config: what was asked for.
        proposer: controller, space and screening.
        task: what children are trained on.
        ledger: where everything is recorded.
        progress: is told how it goes.
    """

    def __init__(
        self, config: SearchConfig, proposer: Proposer, task: Task, ledger: Ledger, progress: Progress
    ) -> None:
        self.config, self.proposer, self.task, self.ledger, self.progress = config, proposer, task, ledger, progress
        self.seeds = child_seeds(config)
        self.asked: dict[int, list[ProposalRow]] = {}  # trials under way: their new rules
        self.trials = self.told = self.rules = 0
        self.waiting: dict[int, Done] = {}  # deterministic: finished before its turn
        self.again: list[int] = []  # asked before the search was interrupted, not finished
        self.updates = -1.0

    @property
    def controller(self) -> Controller:
        """Who proposes."""
        return self.proposer.controller

    # -- asking --------------------------------------------------------------------------------------------------------------------

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        """Return the next trial; `later` if results must come first; `finished` if there will be none."""
        if self.again:
            return self._trial(self.again.pop(0))
        count = min(self.config.rules_per_trial, self.config.rules - self.rules)
        if count <= 0 or self.proposer.exhausted:
            return "finished"
        if self.config.deterministic and self.trials - self.told >= self.config.lag:
            return "later"
        rows = self.proposer.next_rules(count)
        number = self.trials
        self.ledger.write_asked(number, rows)
        self._record_update()
        self._take(number, rows)
        self.progress.asked(rows)
        if self.asked[number]:
            return self._trial(number)
        self.finish(number, Done((), 0.0))  # nothing new in it: exhausted
        return self.next_trial()

    def _take(self, number: int, rows: list[ProposalRow]) -> None:
        self.asked[number] = [row for row in rows if row.status == "new"]
        self.rules += len(self.asked[number])
        self.trials = number + 1

    def _trial(self, number: int) -> Trial:
        jobs = tuple(Job(row.rule, learning_rates(self.config.grid, row.scale or 1.0)) for row in self.asked[number])
        batched = {"auto": None, "yes": True, "no": False}[self.config.batched]
        return Trial(number, Work(jobs, self.seeds, self.config.halving, batched))

    # -- telling -------------------------------------------------------------------------------------------------------------------

    def finish(self, number: int, done: Done) -> None:
        """Take the result of a trial: record it, then learn from it."""
        if not self.config.deterministic:
            self._tell(number, done)
            return
        self.waiting[number] = done
        while self.told in self.waiting:
            self._tell(self.told, self.waiting.pop(self.told))

    def fail(self, number: int, reason: str) -> None:
        """Take note that a trial could not be done: all its rules failed."""
        self.finish(number, Done(tuple(Trained((), reason) for _ in self.asked[number]), 0.0))

    def _tell(self, number: int, done: Done) -> None:
        rows = self.asked.pop(number)
        pairs = zip(rows, done.trained, strict=True)
        rewards = [rule_reward(row.id, trained, self.task, self.config.reward) for row, trained in pairs]
        self.ledger.write_told(number, rewards, done.seconds, done.device)
        self._learn(rows, rewards)
        self._record_update()
        self.told += 1
        self.progress.told(rows, rewards)

    def _learn(self, rows: list[ProposalRow], rewards: list[RewardRow]) -> None:
        outcomes = []
        for row, reward in zip(rows, rewards, strict=True):
            self.proposer.rewards[row.id] = reward.reward
            outcomes.append(Outcome(row.id, row.tokens, reward.status, reward.reward))
        self.controller.tell(outcomes)

    def _record_update(self) -> None:
        metrics = self.controller.metrics()
        if metrics.get("updates", -1.0) != self.updates:
            self.updates = metrics.get("updates", -1.0)
            self.ledger.write_update(metrics)

    # -- resuming ------------------------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Replay the ledger into the fresh controller; trials that were asked and not finished are trained first.

        Raises:
            LedgerError: the controller does not propose what the ledger holds, since something else has changed.
        """
        for event in self.ledger.history():
            if event.kind == "asked":
                rows = self.ledger.proposals(event.trial)
                count = min(self.config.rules_per_trial, self.config.rules - self.rules)
                if not self.proposer.replay(count, rows):
                    raise LedgerError(
                        f"{self.ledger.path}: the controller proposes other rules than the ledger holds, so the search cannot go on "
                        "exactly; it was made by other versions or settings"
                    )
                self._take(event.trial, rows)
                self.progress.asked(rows)
            else:
                rows, rewards = self.asked.pop(event.trial), self.ledger.rewards(event.trial)
                self._learn(rows, rewards)
                self.told += 1
                self.progress.told(rows, rewards)
        self.updates = self.controller.metrics().get("updates", -1.0)
        self.again = sorted(self.asked)
        self.progress.resumed()
