"""What the build of a table is told."""

from __future__ import annotations

from dataclasses import dataclass, fields

from neuropt.config import Executor, SearchConfig


@dataclass(frozen=True)
class TableConfig:
    """What a table is of, and where it is trained.

    Raises:
        ValueError: a number out of range, naming the field, what it got and what would be valid.

    >>> TableConfig(space="tiny", seeds=2).task
    'digits-mlp'
    """

    space: str = "icml2017"
    """search space: a name of `neuropt spaces`, or a TOML file"""
    groups: int | None = 1
    """groups of five tokens in a rule; more than one is too large for the shipped spaces but tiny"""
    task: str = "digits-mlp"
    """what children are trained on: a name of `neuropt tasks`"""
    seeds: int = 4
    """seeds that every rule is trained on, 0, 1, ...; a search sees some of them and is judged on the others"""
    steps: int | None = None
    """training steps of a child; None leaves the task's own budget"""
    data_dir: str | None = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    executor: Executor = "tune"
    """Ray on this machine or a cluster, or in this process without Ray"""
    address: str | None = None
    """HOST:PORT of a running Ray cluster; None starts Ray on this machine"""
    workers: int | None = None
    """processes that train at the same time; None uses every CPU of Ray"""
    child_seconds: float | None = None
    """wall-clock seconds before a child is ended (executor tune only); None: 200 times its plain steps, at least 10"""
    child_memory: float | None = None
    """GiB that training may add to a worker before it is ended (executor tune only); None: its share of the machine"""

    def __post_init__(self) -> None:
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or not 2 <= self.seeds <= 100:
            raise ValueError(
                f"seeds must be a whole number from 2 to 100, one to search with and one to judge by, but got {self.seeds!r}"
            )
        self.search_config()

    def search_config(self) -> SearchConfig:
        """Return the same as a search's configuration, which checks it and names an executor."""
        return SearchConfig(**{f.name: getattr(self, f.name) for f in fields(self) if f.name != "seeds"})
