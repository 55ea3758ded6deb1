"""Tasks of a user's own file, `path/to/task.py:NAME`: run, since the user typed its path.

The task travels as the file's text: a worker on another machine runs the same text, which therefore imports nothing that lies beside it,
only what is installed there. A text is run once in a process, so that what it defines is one thing however often the task arrives.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuropt.tasks.task import Source, Task

SUFFIX = ".py"
NAME_PREFIX = "neuropt_task_file_"

_families: dict[str, str] = {}


def is_task_file(text: str) -> bool:
    """Whether a task is given by a file rather than by a name.

    >>> is_task_file("mine/task.py:my_task"), is_task_file("digits-mlp")
    (True, False)
    """
    return text.rpartition(":")[0].endswith(SUFFIX) or text.endswith(SUFFIX)


def file_sha256(text: str) -> str:
    """Return the SHA-256 of the file that is meant, without running it.

    Raises:
        ValueError: it cannot be read.
    """
    return hashlib.sha256(_content(text)[0].encode()).hexdigest()


def load_task_file(text: str) -> Task:
    """Run the file and return the task of that name in it.

    Args:
        text: `path/to/task.py:NAME`.

    Raises:
        ValueError: in one line: no such file or name, something that is not a `Task`, or what the file raised.
    """
    from neuropt.tasks.task import Source

    content, path, name = _content(text)
    task = task_of_source(Source(str(path), name, content))
    _families[task.typed] = task.family
    return task


def families_of_files() -> dict[str, str]:
    """Return the family of each task of a file that was loaded in this process, by `path/to/task.py:NAME`."""
    return dict(_families)


def task_of_source(source: Source, steps: int | None = None) -> Task:
    """Return the task of a file's text; `steps` where its budget was changed."""
    from neuropt.tasks.task import Task

    module = _run(source.path, source.text)
    found = getattr(module, source.name, None)
    if not isinstance(found, Task):
        names = [name for name, value in vars(module).items() if isinstance(value, Task)]
        there = f"it has {', '.join(names)}" if names else "it has none"
        kind = "is missing" if not hasattr(module, source.name) else f"is a {type(found).__name__}"
        raise ValueError(f"{source.path}:{source.name} must be a neuropt.Task, but {kind}; {there}.")
    task = replace(found, source=source)
    return task if steps is None or steps == task.steps else task.with_budget(steps)


def _content(text: str) -> tuple[str, Path, str]:
    """Return the file's text, its absolute path and the name of the task."""
    if text.endswith(SUFFIX):
        raise ValueError(f"task {text!r} must also say which task of the file is meant: {text}:NAME")
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser().absolute()
    try:
        return path.read_text(encoding="utf-8"), path, name
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"task file {path} cannot be read: {reason}") from None


@lru_cache(maxsize=32)
def _run(path: str, text: str) -> ModuleType:
    module = ModuleType(NAME_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12])
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ValueError(f"task file {path} raised {type(error).__name__}: {error}".split("\n")[0]) from error
    return module
