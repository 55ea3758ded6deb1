"""What counts as evidence: tasks that no search has seen, of families that none has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from neuropt.evaluating.contenders import Contender
from neuropt.tasks import tasks
from neuropt.tasks.task import Task
from neuropt.tasks.task_file import families_of_files

Seen = Literal["task", "family"]


def seen(contender: Contender, task: Task) -> Seen | None:
    """Return whether a search that found the contender saw the task, or another one of its family; None for held-out tasks."""
    if contender.searched & {task.name, task.typed}:
        return "task"
    return "family" if task.family in _families(contender.searched) else None


def held_out(task: Task, contenders: Iterable[Contender]) -> bool:
    """Whether a task is evidence for all of them."""
    return all(seen(contender, task) is None for contender in contenders)


def evidence(known: Sequence[Task], contenders: Sequence[Contender]) -> list[Task]:
    """Return the tasks that are evidence for all contenders."""
    return [task for task in known if held_out(task, contenders)]


def unknown(contender: Contender) -> list[str]:
    """Return the tasks that its search saw and nobody knows here, so that other tasks may be of their families."""
    return sorted(contender.searched - _known_families().keys())


def _families(names: Iterable[str]) -> set[str]:
    """Return the families of those tasks that are known here."""
    known = _known_families()
    return {known[name] for name in names if name in known}


def _known_families() -> dict[str, str]:
    return {name: task.family for name, task in tasks().items()} | families_of_files()
