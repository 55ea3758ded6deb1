"""Rewards from a table: `--task table:NAME` looks up what a search on a task would train.

The controller sees the seed of the search (its root seed, modulo the table's number of seeds, and the following ones if the search has
several child seeds). Finalists are reported on all others, at the learning rate that the seen seeds chose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from rich.console import Console

from controllers import Controller, Proposal
from neuropt.config import NEED_TUNE, TRACKED, SearchConfig
from neuropt.evaluating.finalists import BUILT_INS
from neuropt.evaluating.row import Row, ordered
from neuropt.evaluating.statistics import spread
from neuropt.searching.executor import Engine, Executor, Trial
from neuropt.searching.facts import versions
from neuropt.searching.ledger import Ledger
from neuropt.searching.ledger_rows import FoundRule, ProposalRow
from neuropt.searching.proposing import Proposer
from neuropt.searching.rewards import RewardRange, reward_of
from neuropt.searching.source import TABLE
from neuropt.tables.enumerating import spelled
from neuropt.tables.table import Table
from neuropt.tables.table_file import load_table
from neuropt.training.children import Child
from neuropt.training.work import Done, Trained, Work
from search_space import SearchSpace, probe_trajectory, zoo

TRAINING: tuple[str, ...] = ("steps", "fidelity", "form", "device", "precision", "rules_together")
TRAINING += tuple(name for name in NEED_TUNE if name not in TRACKED)
"""Fields of a configuration that say how children are trained."""


class TableSource:
    """The rows of a table.

    Args:
        config: of the search.

    Raises:
        ValueError: no such table, or a configuration that it cannot answer.
    """

    def __init__(self, config: SearchConfig) -> None:
        self.table = load_table(config.task.removeprefix(TABLE))
        self.config = replace(config, reward=reward_of(config.reward, self.table))
        for field in TRACKED:
            if getattr(config, field) is not None:
                raise ValueError(
                    f"{field} goes through Ray Tune, which {config.task} does not use; tensorboard has the same curves"
                )
        for field in TRAINING:
            if getattr(config, field) != getattr(SearchConfig, field):
                raise ValueError(f"{field} says how children are trained, but {config.task} trains none; leave it out")
        if config.rules_per_trial == "auto":
            raise ValueError(f"rules_per_trial must be a number with {config.task}, which trains nothing to measure")
        if config.grid != "scaled":
            raise ValueError(
                f"grid must be scaled with {config.task}, whose rules were trained so, but got {config.grid}"
            )
        most = len(self.table.seeds) - 1
        if config.child_seeds > most:
            raise ValueError(
                f"child_seeds must be at most {most} with {config.task}, which has {most + 1} seeds and judges by those "
                f"that the search does not see, but got {config.child_seeds}"
            )

    @property
    def name(self) -> str:
        """The table's."""
        return f"table-{self.table.name}"

    @property
    def range(self) -> RewardRange:
        """The table's."""
        return self.table

    @property
    def columns(self) -> tuple[int, ...]:
        """What of the table's seeds the search sees."""
        return seen_columns(self.config, self.table)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of those columns."""
        return tuple(self.table.seeds[column] for column in self.columns)

    def prepare(self, space: SearchSpace) -> str:
        """Check that the table is of this space."""
        ours, wanted = self.table.space, space
        if replace(ours, description="", source="") != replace(wanted, description="", source=""):
            of, searched = spelled(ours), spelled(wanted)
            hint = (
                "is of a space of this name with another vocabulary"
                if of == searched
                else f"is of {of}, not of {searched}"
            )
            cure = f"--space {ours.name} --groups {ours.groups}"
            raise ValueError(f"{self.config.task} {hint}" + ("" if of == searched else f"; give {cure}"))
        return self.table.sha256

    def settled(self, console: Console | None) -> SearchConfig:
        """Return it as it is."""
        return self.config

    def manner(self, config: SearchConfig) -> str:
        """Nothing is trained."""
        return ""

    def facts(self) -> dict[str, str]:
        """Return versions and machine, and the hash of the table."""
        return versions() | {
            "data_sha256": self.table.sha256,
            "weights_sha256": str(self.table.facts.get("weights_sha256")),
        }

    def proposer(self, controller: Controller, space: SearchSpace) -> Proposer:
        """Return one that looks strings up."""
        return TableProposer(controller, space, self.table)

    def executor(self, ledger: Ledger | None = None) -> Executor:
        """Return one that looks children up."""
        return TableExecutor(self.table)

    def finalists(
        self, run: str, best: Sequence[FoundRule], executor: Executor, say: Callable[[str], None] | None
    ) -> list[Row]:
        """Report the best rules on the seeds that the search did not see, beside the built-ins that the table holds."""
        numbers = {text: number for number, text in enumerate(self.table.rules)}
        rows = [self._row(f"{run}:{found.position}", numbers[found.rule], searched=True) for found in best]
        for name in BUILT_INS:
            tokens = self.table.space.encode(zoo()[name])
            number = None if tokens is None else self.table.lookup(tokens)
            if number is not None:
                rows.append(self._row(name, number, searched=False))
        return ordered(rows)

    def _row(self, name: str, rule: int, searched: bool) -> Row:
        """Return what the seeds that the search did not see say of a rule."""
        table, reward = self.table, reward_of(self.config.reward, self.table)
        judged = table.judge(self.columns, reward)
        rate = int(judged.rates[rule])
        others = list(judged.others)
        losses = np.minimum(table.losses[rule, rate, others], table.loss_bound)
        return Row(
            task=table.task,
            optimizer=name,
            rule=None if name in zoo() else "; ".join(table.rules[rule].splitlines()),
            metric=reward,
            learning_rate=table.learning_rates(rule)[rate],
            edge=rate in (0, len(table.base_rates) - 1),
            rates=len(table.base_rates),
            tune_seeds=len(judged.seen),
            n=len(others),
            diverged=int(np.isinf(table.losses[rule, rate, others]).sum()),
            accuracy=spread(table.rewards[rule, rate, others].tolist()),
            loss=spread(losses.astype(np.float64).tolist()),
            test_accuracy=None,
            test_loss=None,
            searched=searched,
        )


def seen_columns(config: SearchConfig, table: Table) -> tuple[int, ...]:
    """Return the columns of the table's seeds that a search with this configuration sees."""
    return tuple((config.seed + i) % len(table.seeds) for i in range(config.child_seeds))


class TableProposer(Proposer):
    """A proposer that looks up what a string says, in about a microsecond.

    Args:
        controller: who proposes.
        space: the table's.
        table: looked up.
    """

    def __init__(self, controller: Controller, space: SearchSpace, table: Table) -> None:
        super().__init__(controller, space, probe_trajectory(steps=2, elements=1))  # nothing is screened
        self.table = table

    def _judged(self, proposal: Proposal) -> ProposalRow:
        table, number, tokens = self.table, self.first + proposal.id, proposal.tokens
        rule = table.lookup(tokens)
        self.barren += 1
        if rule is None:
            text = self.space.describe(tokens)
            return ProposalRow(number, tokens, text, text, "rejected", None, table.reason(tokens), False, None)
        negated = bool(table.negated[table.number(tokens)])
        text, key, scale = table.rules[rule], table.keys[rule].decode(), float(table.scales[rule])
        if key in self.seen:
            return ProposalRow(number, tokens, text, key, "duplicate", self.seen[key], None, negated, None)
        self.seen[key] = number
        self.barren = 0
        return ProposalRow(number, tokens, text, key, "new", None, None, negated, scale)


class TableExecutor:
    """Looks children up.

    Args:
        table: where.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.numbers = {text: number for number, text in enumerate(table.rules)}

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        while isinstance(trial := engine.next_trial(), Trial):
            engine.finish(trial.number, self._done(trial.work))

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Look the works up in their order."""
        for position, work in enumerate(works):
            yield position, self._done(work)

    def close(self) -> None:
        """Nothing was started."""

    def _done(self, work: Work) -> Done:
        columns = [self.table.seeds.index(seed) for seed in work.seeds]
        return Done(tuple(self._trained(self.numbers[job.rule or ""], columns) for job in work.jobs), 0.0, "table")

    def _trained(self, rule: int, columns: Sequence[int]) -> Trained:
        if rule in self.table.failures:
            return Trained((), self.table.failures[rule])
        rates = self.table.learning_rates(rule)
        losses, accuracies = self.table.losses[rule].tolist(), self.table.accuracies[rule].tolist()
        return Trained(
            tuple(
                tuple(self._child(rate, column, losses[i][column], accuracies[i][column]) for column in columns)
                for i, rate in enumerate(rates)
            )
        )

    def _child(self, rate: float, column: int, loss: float, accuracy: float) -> Child:
        seed = self.table.seeds[column]
        if math.isnan(accuracy):
            return Child(rate, seed, "diverged", 0, math.inf)
        return Child(rate, seed, "trained", self.table.steps, math.nan, loss, accuracy)  # no training loss is kept
