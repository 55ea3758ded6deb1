"""A hash of the code that children come from, since it may change under one version while a version is being made.

Counted is what the code says: comments, docstrings and layout leave the hash as it is. So do modules of `neuropt.tasks` that hold other
tasks, so that a new task, or another one's target, leaves what is archived of this one valid. Data and first weights have their own hashes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import tomllib
from collections.abc import Iterator
from functools import cache
from inspect import isfunction
from pathlib import Path

import neuropt
from neuropt.tasks import tasks
from neuropt.tasks.task import Task

CODE = "code_sha256"
"""What facts call it."""
ROOT = Path(neuropt.__file__).parent.parent
TASKS = "neuropt/tasks"
PARTS = (
    "search_space",
    "neuropt/compiling",
    "neuropt/training",
    "neuropt/optimizers",
    TASKS,
    "neuropt/evaluating/ladders.py",  # which learning rates are tried
    "neuropt/evaluating/tuning.py",  # and which of them wins
)
"""What children are computed by, and chosen: folders and files."""
LIST = "neuropt/tasks/registry.py"
"""Names every task, and computes nothing."""


def code_sha256(task: Task, root: Path = ROOT) -> str:
    """Return the SHA-256, in hexadecimal, of the code that the children of a task come from.

    Args:
        task: theirs.
        root: folder of the packages, such as a checkout of another version.

    Raises:
        ValueError: a folder without the packages.
    """
    files = sorted(file for part in PARTS for file in _files(root / part))
    if not files:
        raise ValueError(f"{root} holds none of {', '.join(PARTS)}, so it is no checkout of neuropt")
    foreign = _of_other_tasks(task, root)
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(root).as_posix()
        if name != LIST and name not in foreign:
            digest.update(f"{name} {_said(file)};".encode())
    return digest.hexdigest()


def _files(part: Path) -> Iterator[Path]:
    if part.is_file():
        yield part
    for suffix in ("*.py", "*.toml"):
        yield from part.rglob(suffix)


def _said(file: Path) -> str:
    """Return the hash of what a file says, as a program and not as text."""
    text = file.read_text(encoding="utf-8")
    return _values(text) if file.suffix == ".toml" else _program(text)


@cache
def _values(text: str) -> str:
    return hashlib.sha256(json.dumps(tomllib.loads(text), sort_keys=True, default=str).encode()).hexdigest()


@cache
def _program(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [line for line in node.body if not _is_text(line)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(line: ast.stmt) -> bool:
    """Whether a statement is a text and nothing else: the docstring of a module, a class, a function or the name before it."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _of_other_tasks(task: Task, root: Path) -> set[str]:
    """Return the modules that define tasks, less the one of this task and what it imports from others."""
    modules = {file for known in tasks().values() for file in _modules_of(known)}
    needed, waiting = set[str](), _modules_of(task) & modules
    while waiting:
        needed |= waiting
        waiting = {file for one in waiting for file in _imports(root / one)} & modules - needed
    return modules - needed


def _modules_of(task: Task) -> set[str]:
    """Return the modules that a task's data and model come from, as files; those of a user hold no function of neuropt."""
    names = {str(function.__module__) for function in (task.load, task.model) if isfunction(function)}
    return {f"{name.replace('.', '/')}.py" for name in names if name.startswith("neuropt.tasks.")}


def _imports(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else ()
    return {f"{node.module.replace('.', '/')}.py" for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
