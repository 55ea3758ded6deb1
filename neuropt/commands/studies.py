"""`neuropt search | evaluate`: what trains children."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from neuropt.commands.rules import RULE_HELP
from neuropt.config import WHEREABOUTS, EvaluationGrid, Executor, Reward, SearchConfig

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
    """with --resume: go on although versions, data, device or first weights have changed; the ledger records it"""
    typed: Suppress[tuple[str, ...]] = ()
    """names of the flags that were typed, the defaults among them"""

    def __call__(self) -> None:
        """Run it."""
        self._check_resume()
        from neuropt.searching.search import rule_to_take, run_search  # imports torch, and ray if it is used

        try:
            run = run_search(
                self.config,
                self.run,
                resume=self.resume,
                accept_changes=self.accept_changes,
                console=console(),
                given=self.typed,
            )
        except KeyboardInterrupt:
            folder = f" {self.run}" if self.run else " the folder named above"
            print(f"\ninterrupted; go on with: neuropt search --resume --run{folder}", file=sys.stderr)
            raise
        best = rule_to_take(run)
        print(
            f"\nThe run is in {run}. Next: neuropt top {run} | neuropt report {run} | neuropt export {best} --to torch -o found.py"
        )

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
    """Compare optimizers on tasks: each tuned with one budget of trials, then its best trial on fresh seeds."""

    optimizers: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="OPTIMIZER...",
            help=f"a name of `neuropt optimizers`, 'adamw(beta2=0.95|0.999)' to tune it, 'graft(sgd, adam)', or {RULE_HELP}",
        ),
    ] = ()
    tasks: Annotated[tuple[str, ...], arg(metavar="TASK...")] = ()
    """names of `neuropt tasks`, or all: every one that needs no download"""
    profile: Annotated[str | None, arg(metavar="NAME")] = None
    """quick (minutes), full, grafting, or a TOML file; what is left out below comes from it"""
    schedule: Annotated[tuple[str, ...] | None, arg(metavar="SCHEDULE...")] = None
    """of the learning rate: names of `neuropt schedules`; every optimizer is tuned and reported under each (constant)"""
    seeds: int | None = None
    """fresh seeds that results are reported on (10)"""
    tune_seeds: int | None = None
    """seeds that trials are chosen on (3)"""
    trials: int | None = None
    """budget of tuning of each optimizer under each schedule on each task (9)"""
    grid: EvaluationGrid | None = None
    """learning rates: 1 and 3 times powers of 10 around the optimizer's own centre (centred), or a search's grids"""
    reward: Reward | None = None
    """what chooses the trial, on validation data; None: each task's metric"""
    reference: str | None = None
    """the optimizer that others are compared with (adamw, else the first)"""
    evaluations: int | None = None
    """points of a learning curve (20)"""
    consecutive: int | None = None
    """evaluations in a row that must reach the target (2)"""
    steps: int | None = None
    """training steps; None leaves each task's own"""
    seed: int | None = None
    """moves all seeds (0)"""
    form: str | None = None
    """how children of tasks that are no MLP are trained: usual (one at a time), rows, batched, measured"""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder for what is found (docs/evaluation.md), with a ledger while it runs"""
    resume: bool = False
    """go on with the evaluation in that folder, with its own configuration; nothing that is finished is trained again"""
    accept_changes: bool = False
    """with --resume: go on although versions, data or first weights have changed; the ledger records it"""
    baselines: Annotated[Path | None, arg(metavar="DIR")] = None
    """archived results, such as benchmarks/baselines, which stand beside the new ones, or alone, without being trained again"""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    executor: Executor | None = None
    """in-process without Ray, or tune: Ray on this machine or a cluster (in-process)"""
    workers: int | None = None
    """processes of Ray, with --executor tune; None for every CPU"""
    address: str | None = None
    """HOST:PORT of a running Ray cluster"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Run it."""
        if not self.optimizers and self.profile is None and self.baselines is None and not self.resume:
            raise ValueError("missing: OPTIMIZER..., such as adam, or --profile quick; see `neuropt evaluate --help`")
        if not self.tasks and self.profile is None and self.baselines is None and not self.resume:
            raise ValueError("missing: --tasks, such as digits-mlp, or --profile quick; see `neuropt evaluate --help`")
        from neuropt.evaluating.evaluate import evaluate  # imports torch, and ray if it is used
        from neuropt.reporting.evaluations import print_evaluation

        arguments = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "json"}
        try:
            found = evaluate(**arguments, progress=lambda done: print(done, file=sys.stderr))
        except KeyboardInterrupt:
            if self.out is not None:
                print(f"\ninterrupted; go on with: neuropt evaluate --resume --out {self.out}", file=sys.stderr)
            raise
        if self.json:
            print(found.to_json(), end="")
            return
        print_evaluation(found, console())
        if self.out is not None:
            print(f"every child is in {self.out}; as a page: neuropt report {self.out}")


def console() -> Console:
    """Return where progress and tables go: the terminal, or plain lines that are not cut."""
    return Console(width=None if sys.stdout.isatty() else SCREEN_WIDTH, highlight=False)
