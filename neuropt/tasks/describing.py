"""What there is to say of a task: a line for listings, and sizes and hashes once its data are loaded."""

from __future__ import annotations

from pathlib import Path

from neuropt.tasks.hashing import hash_tensors
from neuropt.tasks.models import initial_weights
from neuropt.tasks.registry import SHIPPED, load_task_data
from neuropt.tasks.task import Task


def listed(task: Task) -> dict[str, object]:
    """Return a task as a row; nothing is loaded.

    Example:
        >>> from neuropt.tasks import get_task
        >>> listed(get_task("rosenbrock"))["family"]
        'synthetic'
    """
    return {
        "name": task.name,
        "family": task.family,
        "metric": task.metric,
        "target": task.target,
        "steps": task.steps,
        "batch": task.batch_size,
        "data": task.download or "none needed",
        "description": task.description,
    }


def documented() -> str:
    """Return the shipped tasks as the table of docs/tasks.md."""
    rows = [listed(task) for task in SHIPPED]
    lines = [rows[0].keys(), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def loaded(task: Task, data_dir: Path | str | None = None) -> dict[str, object]:
    """Return the same, and the sizes and hashes of data and first weights (seed 0), once the task is checked.

    Raises:
        ValueError: it cannot be loaded or trained.
    """
    data = load_task_data(task, data_dir)
    weights = initial_weights(task, seed=0)
    return listed(task) | {
        "train": len(data.train),
        "validation": len(data.validation),
        "test": len(data.test),
        "parameters": len(weights),
        "data_sha256": data.sha256,
        "weights_sha256": hash_tensors(weights),
    }
