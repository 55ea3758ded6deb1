"""The table of tasks by name: the shipped ones, and a user's own after `register_task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from neuropt.tasks.characters import CHAR_GRU, CHAR_TRANSFORMER
from neuropt.tasks.checking import check_task
from neuropt.tasks.cifar10 import CIFAR10_CONVNET
from neuropt.tasks.digits import DIGITS_AUTOENCODER, DIGITS_CONV, DIGITS_MLP, DIGITS_WIDE
from neuropt.tasks.downloads import resolve_data_dir
from neuropt.tasks.factorisation import MATRIX_FACTORISATION
from neuropt.tasks.functions import QUADRATIC_ILL, QUADRATIC_NOISY, ROSENBROCK
from neuropt.tasks.mnist import FASHION_MNIST_LENET, MNIST_LENET, MNIST_MLP
from neuropt.tasks.pictures import PICTURE_FOURIER
from neuropt.tasks.shakespeare import SHAKESPEARE_TRANSFORMER
from neuropt.tasks.signals import SIGNALS_CONV, SIGNALS_MLP
from neuropt.tasks.tabular import BREAST_CANCER_LOGISTIC, WINE_MLP
from neuropt.tasks.task import Task, TaskData
from neuropt.tasks.task_file import is_task_file, load_task_file
from neuropt.tasks.wideresnet import CIFAR10_WIDERESNET

SHIPPED = (
    DIGITS_MLP, DIGITS_WIDE, DIGITS_CONV, DIGITS_AUTOENCODER, BREAST_CANCER_LOGISTIC, WINE_MLP, SIGNALS_MLP, SIGNALS_CONV,
    QUADRATIC_ILL, QUADRATIC_NOISY, ROSENBROCK, MATRIX_FACTORISATION, CHAR_GRU, CHAR_TRANSFORMER,
    PICTURE_FOURIER, MNIST_MLP, MNIST_LENET, FASHION_MNIST_LENET, CIFAR10_CONVNET, CIFAR10_WIDERESNET, SHAKESPEARE_TRANSFORMER,
)  # fmt: skip

_registered: dict[str, Task] = {}


def tasks() -> Mapping[str, Task]:
    """Return all tasks by name, the shipped ones first.

    Example:
        >>> list(tasks())[0]
        'digits-mlp'
    """
    return {task.name: task for task in SHIPPED} | _registered


def get_task(name: str) -> Task:
    """Return a task by name, or one of a user's own file, which is run.

    Args:
        name: of `neuropt tasks`, or `path/to/task.py:NAME`.

    Raises:
        ValueError: for an unknown name, listing the valid ones; for a file, see `neuropt.tasks.task_file`.

    Example:
        >>> get_task("digits-mlp").steps
        150
    """
    if is_task_file(name):
        return load_task_file(name)
    known = tasks()
    if name not in known:
        raise ValueError(
            f"unknown task {name!r}; choose one of {', '.join(known)}, or give your own as FILE.py:NAME (docs/tasks.md)."
        )
    return known[name]


def register_task(task: Task) -> Task:
    """Make a task of one's own known by its name, in this process, and return it.

    Registering again under one's own name replaces the task. Code that trains in other processes sends the task itself.

    Raises:
        ValueError: when the name belongs to a shipped task.
    """
    if any(task.name == shipped.name for shipped in SHIPPED):
        raise ValueError(f"Task(name={task.name!r}) is the name of a shipped task; choose another name.")
    _registered[task.name] = task
    return task


def load_task_data(task: Task, data_dir: Path | str | None = None) -> TaskData:
    """Return the task's data, loaded once a process for each data directory.

    Args:
        task: budgets may differ, the data are shared.
        data_dir: where files may already be; None reads the environment variable NEUROPT_DATA.

    Raises:
        ValueError: when the task cannot be trained, see `neuropt.tasks.checking`.
        DataError: (a ValueError) when files are absent and can not be downloaded, or are damaged.

    Example:
        >>> load_task_data(get_task("digits-mlp")).train.inputs.shape
        torch.Size([1000, 64])
    """
    data = load_unchecked(task, data_dir)
    check_task(task, data)
    return data


def load_unchecked(task: Task, data_dir: Path | str | None = None) -> TaskData:
    """Return the same without a look at model and loss: for a guard, which runs no code of a task but this."""
    try:
        data = _load(task.load, resolve_data_dir(data_dir))
    except ValueError:
        raise
    except Exception as error:
        if any(task.load is shipped.load for shipped in SHIPPED):
            raise
        said = f"Task(load=...) of {task.name} raised {type(error).__name__}: {error}".split("\n")[0]
        raise ValueError(said) from error
    if not isinstance(data, TaskData):
        raise ValueError(f"Task(load=...) of {task.name} must return a TaskData, but returned a {type(data).__name__}.")
    return data


@lru_cache(maxsize=8)
def _load(load: Callable[[Path | None], TaskData], data_dir: Path | None) -> TaskData:
    return load(data_dir)
