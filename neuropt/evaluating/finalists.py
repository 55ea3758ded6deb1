"""The finalists of a search: its best rules, trained again on fresh seeds beside tuned built-ins."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from neuropt.config import Grid, Reward
from neuropt.evaluating.contenders import Contender, check_names, named
from neuropt.evaluating.protocol import Protocol, Say, fresh_seeds, run_protocol
from neuropt.evaluating.row import Row, ordered
from neuropt.searching.executor import Executor
from neuropt.tasks.task import Task, TaskData
from search_space import Rule

BUILT_INS = ("sgd", "momentum", "rmsprop", "adam", "adamw", "powersign", "addsign")
STREAM = 1 << 32
"""Keeps the seeds of finalists apart from those that `evaluate` draws with the same root."""


def finalists(
    found: Sequence[tuple[str, Rule]],
    task: Task,
    data: TaskData,
    executor: Executor,
    *,
    report_seeds: int = 10,
    tune_seeds: int = 3,
    seed: int = 0,
    reward: Reward | None = None,
    grid: Grid = "scaled",
    used_seeds: Collection[int] = (),
    progress: Say | None = None,
) -> list[Row]:
    """Tune the best rules of a search and the built-ins alike, and report them on fresh seeds.

    Args:
        found: names and rules, such as ("RUN:1", rule).
        task, data: what the search trained on.
        executor: of the task.
        report_seeds, tune_seeds: how many seeds.
        seed: root of both.
        reward: validation metric that chooses learning rates and orders rows.
        grid: of learning rates.
        used_seeds: those of the search, none of which is used again.
        progress: told in a line what is done.

    Returns:
        the rows, best median validation first.
    """
    searched = frozenset({task.typed})
    contenders = [Contender(name, rule, searched=searched) for name, rule in found] + [named(n) for n in BUILT_INS]
    check_names(contenders)
    tune, report = fresh_seeds([tune_seeds, report_seeds], root=seed + STREAM, taken=used_seeds)
    protocol = Protocol(tune, report, reward, grid)
    studies = run_protocol(contenders, task, data, executor, protocol, progress)
    return ordered([study.row(task, protocol) for study in studies])
