"""`neuropt search | evaluate`: what trains children."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional, arg

from neuropt.commands.rules import RULE_HELP
from neuropt.config import WHEREABOUTS, Executor, Grid, Reward, SearchConfig

SCREEN_WIDTH = 160


@dataclass(frozen=True)
class Search:
    """Search for update rules, train the best again beside tuned built-ins, and print the table."""

    config: OmitArgPrefixes[SearchConfig]
    run: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder of the run; left out, a new one under runs/"""
    resume: bool = False
    """go on with the run in that folder, with its own configuration"""
    accept_changes: bool = False
    """with --resume: go on although versions, data or first weights have changed; the ledger records it"""

    def __call__(self) -> None:
        """Run it."""
        self._check_resume()
        from neuropt.searching.search import run_search  # imports torch, and ray if it is used

        try:
            run = run_search(
                self.config,
                self.run,
                resume=self.resume,
                accept_changes=self.accept_changes,
                console=console(),
            )
        except KeyboardInterrupt:
            folder = f" {self.run}" if self.run else " the folder named above"
            print(f"\ninterrupted; go on with: neuropt search --resume --run{folder}", file=sys.stderr)
            raise
        print(f"\nThe run is in {run}. Next: neuropt top {run} | neuropt export {run}:1 --to torch -o found.py")

    def _check_resume(self) -> None:
        """Refuse flags that a resumed run would not follow; where it is trained may change."""
        if self.accept_changes and not self.resume:
            raise ValueError("--accept-changes is for a run that goes on: it needs --resume")
        if not self.resume:
            return
        if self.run is None:
            raise ValueError("--resume needs the folder of the run: --run DIR")
        usual = SearchConfig()
        fixed = [f.name for f in fields(SearchConfig) if f.name not in WHEREABOUTS]
        given = [name for name in fixed if getattr(self.config, name) != getattr(usual, name)]
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(f"--resume goes on with the configuration of the run; leave out {flags}")


@dataclass(frozen=True)
class Evaluate:
    """Compare optimizers on tasks: every learning rate of a grid, then the best one on fresh seeds."""

    optimizers: Annotated[
        Positional[tuple[str, ...]], arg(metavar="OPTIMIZER...", help=f"a name of `neuropt optimizers`, or {RULE_HELP}")
    ]
    tasks: Annotated[tuple[str, ...], arg(metavar="TASK...")]
    """names of `neuropt tasks`"""
    schedule: Annotated[tuple[str, ...], arg(metavar="SCHEDULE...")] = ("constant",)
    """of the learning rate: names of `neuropt schedules`; every optimizer is tuned and reported under each"""
    seeds: int = 10
    """fresh seeds that results are reported on"""
    tune_seeds: int = 3
    """seeds that learning rates are chosen on"""
    grid: Grid = "scaled"
    """learning rates: scaled to the optimizer's own updates, or the paper's 10^-5 .. 10^1"""
    reward: Reward | None = None
    """what chooses the learning rate, on validation data; None: each task's metric"""
    steps: int | None = None
    """training steps; None leaves each task's own"""
    seed: int = 0
    """moves all seeds"""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder for children.csv and evaluation.json"""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    executor: Executor = "in-process"
    """this process without Ray, or Ray Tune on this machine or a cluster"""
    workers: int | None = None
    """processes of Ray; None for every CPU"""
    address: str | None = None
    """HOST:PORT of a running Ray cluster"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Run it."""
        if not self.optimizers:
            raise ValueError("missing: OPTIMIZER..., such as adam; see `neuropt evaluate --help`")
        from neuropt.evaluating.evaluate import evaluate  # imports torch, and ray if it is used
        from neuropt.reporting.tables import print_evaluation

        arguments = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "json"}
        found = evaluate(**arguments, progress=lambda done: print(done, file=sys.stderr))
        if self.json:
            print(found.to_json(), end="")
            return
        print_evaluation(found, console())
        if self.out is not None:
            print(f"every child is in {self.out}")


def console() -> Console:
    """Return where progress and tables go: the terminal, or plain lines that are not cut."""
    return Console(width=None if sys.stdout.isatty() else SCREEN_WIDTH, highlight=False)
