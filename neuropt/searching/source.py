"""Where the rewards of a search come from: children that it trains on a task, or a table of children that were trained before.

digits-mlp                         children of that task, on an executor
table:icml2017-digits-mlp          the table of that name, or of a file: what the rules of a space came to on digits-mlp
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console

from controllers import Controller
from neuropt.config import SearchConfig
from neuropt.evaluating.row import Row
from neuropt.searching.engine import child_seeds
from neuropt.searching.executor import Executor
from neuropt.searching.ledger import Ledger
from neuropt.searching.ledger_rows import FoundRule
from neuropt.searching.proposing import Proposer
from neuropt.searching.rewards import RewardRange
from search_space import SearchSpace

TABLE = "table:"


class Source(Protocol):
    """What a search needs to know of its task."""

    @property
    def config(self) -> SearchConfig:
        """What was asked for, with the reward that is meant."""
        ...

    @property
    def name(self) -> str:
        """How a run is named after it."""
        ...

    @property
    def range(self) -> RewardRange:
        """Which rewards there are."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the children that rewards come from."""
        ...

    def prepare(self, space: SearchSpace) -> str:
        """Load what is needed, or raise a ValueError; return the hash of the data."""
        ...

    def settled(self, console: Console | None) -> SearchConfig:
        """Return the configuration of a new run with what is measured where it leaves something open."""
        ...

    def manner(self, config: SearchConfig) -> str:
        """Say how children are trained, where it is not as usual; else nothing."""
        ...

    def facts(self) -> dict[str, str]:
        """Return what the numbers depend on besides the configuration."""
        ...

    def proposer(self, controller: Controller, space: SearchSpace) -> Proposer:
        """Return who asks the controller."""
        ...

    def executor(self, ledger: Ledger | None = None) -> Executor:
        """Start what trains; the ledger says how far rules of a search that goes on have come."""
        ...

    def finalists(
        self, run: str, best: Sequence[FoundRule], executor: Executor, say: Callable[[str], None] | None
    ) -> list[Row]:
        """Return the rows of the best rules of a run on other seeds, beside built-ins."""
        ...


def source_of(config: SearchConfig) -> Source:
    """Return where the rewards of a search come from.

    Raises:
        ValueError: no such task or table.
    """
    if config.task.startswith(TABLE):
        from neuropt.tables.table_source import TableSource

        return TableSource(config)
    from neuropt.searching.training_source import TrainingSource

    return TrainingSource(config)


def searched_on(config: SearchConfig) -> tuple[str, tuple[int, ...]]:
    """Return the task whose children a search saw, and on which seeds; a search on a table saw those of the table's task."""
    if not config.task.startswith(TABLE):
        return config.task, child_seeds(config)
    from neuropt.tables.table_source import TableSource

    source = TableSource(config)
    return source.table.task, source.seeds
