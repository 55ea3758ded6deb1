"""Build a complete table: enumerate the distinct rules of a space, train each at every learning rate on every seed, write the file.

What is trained is recorded in a folder beside the file, as in a run, so that a build that was killed goes on when it is started again.
Learning rates are not halved: what one seed drops, another might choose, and the table is to hold them all. Seed 0 is trained for all
rules first, then seed 1, and so on, each in works of its own, so that no seed's numbers depend on another's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neuropt.searching.facts import is_begun, now, versions
from neuropt.searching.ledger import Ledger, create_ledger, open_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.recorded import RecordedExecutor
from neuropt.searching.run_folder import LEDGER, LOCK, RunError, locked
from neuropt.searching.training_source import make_executor
from neuropt.tables.config import TableConfig
from neuropt.tables.enumerating import Enumeration, check_size, enumerate_rules
from neuropt.tables.progress import BuildProgress
from neuropt.tables.table import Table
from neuropt.tables.table_file import SUFFIX, TableError, write_table
from neuropt.tasks import get_task, hash_tensors, initial_weights, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training import recording
from neuropt.training.learning_rates import SCALED, learning_rates
from neuropt.training.work import Done, Job, Work
from search_space import SearchSpace, identity, load_space, screening

RULES_PER_WORK = 48
"""Rules that are trained together; a row is the same to the last bit only in the same company."""
FOLDER = ".build"
"""Added to the name of the file: where its build keeps what is trained."""


def build_table(config: TableConfig, out: Path | str, say: Callable[[str], None] | None = None) -> Path:
    """Train every distinct rule of a space once on every seed, and write the table.

    Args:
        config: what to train, and where.
        out: the file; what is trained is kept in a folder of this name with `.build` behind until the file is there.
        say: told in a line how it goes.

    Returns:
        the file. The same call goes on with a build that was killed, and trains nothing twice.

    Raises:
        ValueError: a bad name, a space too large, a file that exists, or a folder that is another build's, in one line.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    out = Path(out)
    if out.suffix != SUFFIX:
        raise TableError(f"a table is a file that ends in {SUFFIX}, but got {out}")
    if out.exists():
        raise TableError(f"{out} exists already; choose another file, or remove it first")
    task = get_task(config.task) if config.steps is None else get_task(config.task).with_budget(config.steps)
    space = load_space(config.space, config.groups)
    check_size(space)
    if task.metric != "accuracy":
        raise ValueError(f"a table holds accuracies, but the metric of {task.name} is its {task.metric}")
    data = load_task_data(task, Path(config.data_dir) if config.data_dir else None)
    folder = out.with_name(out.name + FOLDER)
    facts = build_facts(task, data, space)
    tell = BuildProgress(say)
    try:
        with locked(folder), closing(_ledger(folder, facts)) as ledger:
            found = enumerate_rules(space, recording.record_trajectory(task, data), tell.enumerated)
            losses, accuracies, failures = _train(config, task, data, found, ledger, tell)
            table = Table(
                name=out.stem,
                space=space,
                task=task.name,
                steps=task.steps,
                seeds=tuple(range(config.seeds)),
                base_rates=np.array(SCALED),
                worst_reward=task.worst_reward,
                best_reward=task.best_reward,
                loss_bound=task.loss_bound,
                **{f.name: getattr(found, f.name) for f in fields(Enumeration)},
                losses=losses,
                accuracies=accuracies,
                failures=failures,
                facts=facts | {"weights_sha256": _weights(task, config.seeds), "created": now()},
            )
            write_table(table, out)
    except RunError as error:
        raise TableError(str(error).replace("choose another --run", "choose another file")) from None
    _remove(folder)
    return out


def build_facts(task: Task, data: TaskData, space: SearchSpace) -> dict[str, str]:
    """Return what the numbers of a table depend on: nothing of it may change while it is built. The number of seeds may."""
    return versions() | {
        "numpy": np.__version__,
        "data_sha256": data.sha256,
        "weights_sha256": _weights(task, 1),
        "space_sha256": _text_hash(json.dumps(asdict(space))),
        "batch_size": str(task.batch_size),
        "steps": str(task.steps),
        "rules_per_work": str(RULES_PER_WORK),
        "halving": "no",
        "screen": json.dumps(
            {
                "least_cosine": screening.LEAST_COSINE,
                "largest": screening.LARGEST,
                "quadratic_rates": screening.RATES,
                "quadratic_steps": screening.DESCENT_STEPS,
                "least_descent": screening.LEAST_DESCENT,
                "identity_digits": identity.DIGITS,
                "trajectory_steps": recording.STEPS,
                "trajectory_elements": recording.ELEMENTS,
                "trajectory_seed": recording.SEED,
            }
        ),
    }


def _weights(task: Task, seeds: int) -> str:
    return hash_tensors(*(initial_weights(task, seed) for seed in range(seeds)))


def table_works(rules: Sequence[str], scales: Sequence[float], seeds: int) -> list[Work]:
    """Return the works of a table, seed by seed; position p is of block p % blocks and seed p // blocks."""
    jobs = [Job(rule, learning_rates("scaled", scale)) for rule, scale in zip(rules, scales, strict=True)]
    blocks = [tuple(jobs[first : first + RULES_PER_WORK]) for first in range(0, len(jobs), RULES_PER_WORK)]
    return [Work(block, (seed,), halving=False) for seed in range(seeds) for block in blocks]


Numbers = tuple[NDArray[np.float32], NDArray[np.float32], dict[int, str]]


def numbers_of(done: Done) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return losses and accuracies of a work of one seed, (rules, rates); infinity and NaN where a child diverged or failed."""
    losses = np.full((len(done.trained), len(SCALED)), np.inf, np.float32)
    accuracies = np.full_like(losses, np.nan)
    for rule, trained in enumerate(done.trained):
        for rate, (child,) in enumerate(trained.children):
            if child.status == "trained":
                losses[rule, rate], accuracies[rule, rate] = child.loss, child.accuracy
    return losses, accuracies


def _train(
    config: TableConfig, task: Task, data: TaskData, found: Enumeration, ledger: Ledger, tell: BuildProgress
) -> Numbers:
    """Train what is not in the ledger yet, and return losses and accuracies (rules, rates, seeds) and failures."""
    works = table_works(found.rules, found.scales.tolist(), config.seeds)
    blocks = len(works) // config.seeds
    losses = np.full((len(found.rules), len(SCALED), config.seeds), np.inf, np.float32)
    accuracies = np.full_like(losses, np.nan)
    failures: dict[int, str] = {}
    tell.begin(len(found.rules), config.seeds, known=len(ledger.works()))
    executor = make_executor(config.search_config(), task, data)
    try:
        for position, done in RecordedExecutor(executor, ledger).map(works):
            seed, block = divmod(position, blocks)
            first = block * RULES_PER_WORK
            part = slice(first, first + len(done.trained))
            losses[part, :, seed], accuracies[part, :, seed] = numbers_of(done)
            failures |= {first + i: t.failure for i, t in enumerate(done.trained) if t.failure is not None}
            tell.trained(len(done.trained))
    finally:
        executor.close()
    if len(failures) == len(found.rules):
        raise TableError(f"no rule could be trained; the first failed with {failures[0]}")
    return losses, accuracies, failures


# -- the folder --------------------------------------------------------------------------------------------------------------------


def _ledger(folder: Path, facts: dict[str, str]) -> Ledger:
    """Begin the ledger of a build, or open one that this build may go on with."""
    path = folder / LEDGER
    if not is_begun(path):
        return create_ledger(path, {"created": now(), "kind": "table"}, facts)
    ledger = open_ledger(path, read_only=False)
    recorded = ledger.facts()
    changed = [name for name in facts if recorded.get(name) != facts[name]]
    if changed:
        ledger.close()
        name = changed[0]
        raise LedgerError(
            f"{folder} holds another build: its {name} was {recorded.get(name, 'nothing')}, but here it is {facts[name]}. "
            "Go on with it as it was begun, choose another file, or remove the folder to begin again"
        )
    return ledger


def _remove(folder: Path) -> None:
    """Remove what a build kept; anything else in its folder stays."""
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", LOCK):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _text_hash(text: str) -> str:
    return hash_tensors(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
