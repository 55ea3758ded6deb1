"""The engine of a search: propose, train, record, learn.

    next_trial():  controller.ask -> identity -> screen -> ledger            an executor trains what is new
    finish(k):     ledger -> controller.tell

The controller is told of a trial as soon as it is in the ledger; the order of asking and telling is in the ledger, and `resume` replays
it. With `deterministic`, it is told later: trial k is asked after exactly the trials up to k - lag were told, in their order, whoever
finishes first and on however many workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from controllers import Controller
from neuropt.config import Reward, SearchConfig
from neuropt.searching.executor import Trial
from neuropt.searching.fidelity import is_control
from neuropt.searching.ledger import Ledger
from neuropt.searching.ledger_file import LedgerError, damaged
from neuropt.searching.ledger_rows import Event, ProposalRow, RewardRow
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import Proposer
from neuropt.searching.rewards import RewardRange, reward_of, rule_reward
from neuropt.searching.snapshots import Snapshot
from neuropt.training.learning_rates import learning_rates
from neuropt.training.rungs import Rungs, rung_steps
from neuropt.training.work import Done, Job, Work

CHILD_SEEDS = 10_000
"""Children of a search with seed s are trained on seeds 10,000 s', 10,000 s' + 1, ...; see `child_seeds`."""

BATCHED = {"auto": None, "yes": True, "no": False}
"""What `SearchConfig.batched` means to `train_rules`."""


def child_seeds(config: SearchConfig) -> tuple[int, ...]:
    """Return the seeds that every rule of a search is trained on."""
    first = (config.seed % CHILD_SEEDS) * CHILD_SEEDS
    return tuple(range(first, first + config.child_seeds))


class Recorded(NamedTuple):
    """What a ledger holds of a search."""

    events: Sequence[Event]
    proposals: Mapping[int, list[ProposalRow]]
    rewards: Mapping[int, list[RewardRow]]


class OtherProposals(LedgerError):
    """A controller that proposes other rules than the ledger holds."""


class SearchEngine:
    """One search.

    Args:
        config: what was asked for.
        proposer: controller, space and screening.
        task: what children are trained on, or a table of it: which rewards there are.
        ledger: where everything is recorded.
        progress: is told how it goes.
        seeds: of the children; None for those of the root seed.
    """

    def __init__(
        self,
        config: SearchConfig,
        proposer: Proposer,
        task: RewardRange,
        ledger: Ledger,
        progress: Progress,
        seeds: tuple[int, ...] | None = None,
    ) -> None:
        self.config, self.proposer, self.task, self.ledger, self.progress = config, proposer, task, ledger, progress
        self.seeds = child_seeds(config) if seeds is None else seeds
        self.reward: Reward = reward_of(config.reward, task)
        self.under_way: dict[int, list[ProposalRow]] = {}  # trials that are asked and not finished: their new rules
        self.finished: dict[int, tuple[list[ProposalRow], list[RewardRow]]] = {}  # in the ledger, not told yet
        self.trials = self.told = self.rules = 0
        self.remembering = False  # while what the controller knows already is read
        self.again: list[int] = []  # asked before the search was interrupted, not finished
        began = ledger.beginning()
        self.began_at, proposer.first, self.updates_before = began.event, began.first_proposal, began.first_update
        self.updates = ledger.last_update()

    @property
    def controller(self) -> Controller:
        """Who proposes."""
        return self.proposer.controller

    # -- asking --------------------------------------------------------------------------------------------------------------------

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        """Return the next trial; `later` if results must come first; `finished` if there will be none."""
        if self.again:
            return self._trial(self.again.pop(0))
        if self._asked_all:
            return "finished"
        if not self._catch_up(self.trials - self.config.lag):
            return "later"
        rows = self.proposer.next_rules(self._wanted)
        number = self.trials
        self.ledger.write_asked(number, rows)
        self._record_update()
        self._take(number, rows)
        if self.under_way[number]:
            return self._trial(number)
        self.finish(number, Done((), 0.0))  # nothing new in it: exhausted
        return self.next_trial()

    @property
    def _wanted(self) -> int:
        assert self.config.rules_per_trial != "auto"  # `with_trial_size` has made it a number
        return min(self.config.rules_per_trial, self.config.rules - self.rules)

    @property
    def _asked_all(self) -> bool:
        return self._wanted <= 0 or self.proposer.exhausted

    def _take(self, number: int, rows: list[ProposalRow]) -> None:
        self.under_way[number] = [row for row in rows if row.status == "new"]
        self.rules += len(self.under_way[number])
        self.trials = number + 1
        self.progress.asked(rows)

    def _trial(self, number: int) -> Trial:
        config = self.config
        rates = [learning_rates(config.grid, row.scale or 1.0) for row in self.under_way[number]]
        rows = zip(self.under_way[number], rates, strict=True)
        jobs = tuple(Job(row.rule, some, control=self._is_control(row)) for row, some in rows)
        steps = rung_steps(self.task.steps) if config.fidelity != "full" else ()
        work = Work(
            jobs,
            self.seeds,
            config.halving,
            BATCHED[config.batched],
            form=None if config.form == "auto" else config.form,
            rules_together=config.rules_together,
            device=config.device,
            precision=config.precision,
            rungs=Rungs(steps, self.reward, config.fidelity == "asha") if steps else None,
        )
        return Trial(number, work)

    def _is_control(self, row: ProposalRow) -> bool:
        return self.config.fidelity != "full" and is_control(self.config.rules, self.config.seed, row.id)

    # -- telling -------------------------------------------------------------------------------------------------------------------

    def finish(self, number: int, done: Done) -> None:
        """Take the result of a trial: record it, then learn from it."""
        rows = self.under_way[number]
        pairs = zip(rows, done.trained, strict=True)
        rewards = [
            rule_reward(row.id, trained, self.task, self.reward, self._is_control(row)) for row, trained in pairs
        ]
        self.ledger.write_told(number, rewards, done.seconds, done.device)
        self._finished(number, rewards)

    def _finished(self, number: int, rewards: list[RewardRow]) -> None:
        """Take a trial that is in the ledger; tell the controller now, or with `deterministic` in its turn."""
        rows = self.under_way.pop(number)
        self.progress.told(rows, rewards)
        self.finished[number] = rows, rewards
        if not self.config.deterministic:
            self._tell(number)
        elif self._asked_all:
            self._catch_up(self.trials)

    def _catch_up(self, last: int) -> bool:
        """With `deterministic`, tell all trials up to `last` in their order; return whether all of them were there."""
        if not self.config.deterministic:
            return True
        while self.told <= last and self.told in self.finished:
            self._tell(self.told)
        return self.told > last

    def _tell(self, number: int) -> None:
        rows, rewards = self.finished.pop(number)
        if self.remembering:
            self.proposer.note(rows, rewards)
        else:
            self.proposer.learn(rows, rewards)
        self.told += 1
        self._record_update()  # after each, so that what is recorded does not depend on who finishes first

    def _record_update(self) -> None:
        metrics = self.controller.metrics()
        number = self.updates_before + int(metrics.get("updates", 0))
        if number > self.updates:
            self.updates = number
            self.ledger.write_update(number, metrics)
            self.progress.updated(number, metrics)

    # -- resuming ------------------------------------------------------------------------------------------------------------------

    def resume(self, snapshot: Snapshot | None = None) -> None:
        """Replay the ledger into the fresh controller; trials that were asked and not finished are trained first.

        What happened before the controller began afresh, or before a snapshot of it, is only remembered.

        Args:
            snapshot: of the controller, that fits the ledger.

        Raises:
            OtherProposals: the controller does not propose what the ledger holds, since something else has changed.
            LedgerError: rows are missing.
        """
        self.progress.replaying = True
        recorded = Recorded(self.ledger.history(), self.ledger.proposals(), self.ledger.rewards())
        seen = 0 if snapshot is None else snapshot.events
        if snapshot is not None:
            self._go_on_from(snapshot, recorded)
        for event in recorded.events[seen:]:
            self._replay(event, recorded)
        self.again = sorted(self.under_way)
        self.progress.resumed()

    def _go_on_from(self, snapshot: Snapshot, recorded: Recorded) -> None:
        self.remembering = True
        for event in recorded.events[: snapshot.events]:
            self._replay(event, recorded)
        while self.told < snapshot.told:  # told while it waited for others to finish
            self._tell(self.told)
        self.remembering = False
        self.controller.load_state_dict(dict(snapshot.controller))

    def _replay(self, event: Event, recorded: Recorded) -> None:
        if event.kind == "told":
            self._finished(event.trial, self._results(event.trial, recorded))
            return
        rows = recorded.proposals.get(event.trial, [])
        self._catch_up(self.trials - self.config.lag)
        if self.remembering or event.number < self.began_at:
            self.proposer.remember(rows)
        elif not self.proposer.replay(self._wanted, rows):
            raise OtherProposals(
                f"{self.ledger.path}: the controller proposes other rules than the ledger holds, so the search cannot go on "
                "exactly; it was made by other versions or settings"
            )
        self._take(event.trial, rows)
        self._record_update()

    def _results(self, trial: int, recorded: Recorded) -> list[RewardRow]:
        rewards = recorded.rewards.get(trial, [])
        if [row.id for row in self.under_way.get(trial, [])] != [reward.proposal for reward in rewards]:
            raise damaged(self.ledger.path, f"the rewards of trial {trial}")
        return rewards
