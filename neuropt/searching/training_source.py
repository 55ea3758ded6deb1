"""Rewards from children that the search trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from rich.console import Console

from controllers import Controller
from neuropt.config import SearchConfig
from neuropt.evaluating.finalists import finalists
from neuropt.evaluating.row import Row
from neuropt.searching.engine import child_seeds
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.facts import run_facts
from neuropt.searching.fidelity import check_competition
from neuropt.searching.forming import trained_form, with_form
from neuropt.searching.ledger import Ledger
from neuropt.searching.ledger_rows import FoundRule
from neuropt.searching.proposing import Proposer
from neuropt.searching.rewards import RewardRange, reward_of
from neuropt.searching.trial_size import with_trial_size
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.devices import find_device
from neuropt.training.recording import record_trajectory
from neuropt.training.rungs import rung_steps
from neuropt.training.train import is_batched
from search_space import SearchSpace, parse_rule


class TrainingSource:
    """Children of a task.

    Args:
        config: of the search.

    Raises:
        ValueError: no such task, or one whose children cannot share a buffer as the configuration wants.
    """

    def __init__(self, config: SearchConfig) -> None:
        task = get_task(config.task)
        self.config = replace(config, task=task.typed, reward=reward_of(config.reward, task))
        if config.batched == "yes" and not is_batched(task):
            raise ValueError(
                f"batched yes needs a task whose model is an MLP, but {task.name} is trained one at a time"
            )
        self.task: Task = task if config.steps is None else task.with_budget(config.steps)

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def range(self) -> RewardRange:
        """The task's."""
        return self.task

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those of the root seed."""
        return child_seeds(self.config)

    @cached_property
    def data(self) -> TaskData:
        """The task's, loaded when first needed."""
        return load_task_data(self.task, Path(self.config.data_dir) if self.config.data_dir else None)

    def prepare(self, space: SearchSpace) -> str:
        """Find the device, where it is this machine's, and load the data."""
        if self.config.executor == "in-process" or _starts_ray(self.config):
            find_device(self.config.device)
        return self.data.sha256

    def settled(self, console: Console | None) -> SearchConfig:
        """Try the address, and measure what the configuration leaves open: the form of children, the rules of a trial."""
        config = self.config
        if config.executor == "tune" and config.address is not None:
            from neuropt.searching.cluster import check_address

            check_address(config.address)
        config = with_trial_size(with_form(config, self.task, self.data, console), self.task, self.data)
        check_competition(config, self.task, trained_form(config, self.task))
        return config

    def manner(self, config: SearchConfig) -> str:
        """Say how children are trained, where it is not as usual."""
        form = trained_form(config, self.task)
        said = (
            ("form " + form, form != "population"),
            (config.device, config.device != "cpu"),
            (f"{config.gpus:g} GPU a trial", config.device != "cpu" and config.executor == "tune"),
            (config.precision, config.precision != "float32"),
            (
                f"on CPUs (of the {config.gpus:g} GPU of each trial nothing is used; a GPU trains with --device cuda)",
                config.device == "cpu" and config.gpus > 0,
            ),
        )
        return "".join(f", {text}" for text, shown in said if shown)

    def facts(self) -> dict[str, str]:
        """Return versions, machine, threads and hashes."""
        return run_facts(self.config, self.task, self.data)

    def proposer(self, controller: Controller, space: SearchSpace) -> Proposer:
        """Return one that screens on the task's gradients."""
        return Proposer(controller, space, record_trajectory(self.task, self.data))

    def executor(self, ledger: Ledger | None = None) -> Executor:
        """Start it."""
        return make_executor(self.config, self.task, self.data, ledger)

    def finalists(
        self, run: str, best: Sequence[FoundRule], executor: Executor, say: Callable[[str], None] | None
    ) -> list[Row]:
        """Train the best rules again on fresh seeds, beside tuned built-ins."""
        return finalists(
            [(f"{run}:{rule.position}", parse_rule(rule.rule)) for rule in best],
            self.task,
            self.data,
            executor,
            report_seeds=self.config.finalist_seeds,
            seed=self.config.seed,
            reward=self.config.reward,
            grid=self.config.grid,
            used_seeds=self.seeds,
            progress=say,
        )


def make_executor(config: SearchConfig, task: Task, data: TaskData, ledger: Ledger | None = None) -> Executor:
    """Return the executor that the configuration names; Ray is imported only if it is needed.

    Args:
        ledger: of a search that goes on, with the rungs that its rules have reached.
    """
    if config.executor == "in-process":
        return InProcessExecutor(task, data)
    from neuropt.searching.cluster import Resources
    from neuropt.searching.tune_executor import TuneExecutor

    data_dir = Path(config.data_dir) if config.data_dir else None
    resources = Resources(config.cpus_per_child or 1.0, config.gpus)
    scheduler = None
    if config.fidelity == "asha":
        from neuropt.searching.asha import Asha

        climbed = () if ledger is None else ledger.climbed()
        scheduler = Asha(rung_steps(task.steps), task, reward_of(config.reward, task), climbed)
    limits = config.child_seconds, config.child_memory
    return TuneExecutor(task, data_dir, config.address, config.workers, *limits, resources, scheduler, config.device)


def _starts_ray(config: SearchConfig) -> bool:
    """Whether the search starts Ray on this machine, whose GPUs are then the workers'; only asked for GPUs: Ray is slow to import."""
    if config.device == "cpu" or config.address is not None:
        return False
    import ray

    return not ray.is_initialized()
