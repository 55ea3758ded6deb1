"""Check that a task can be trained before anything is: what is a user's own may have faults, and each should be one clear line."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

from neuropt.tasks.models import build_model
from neuropt.tasks.task import Split, Task, TaskData

PROBED = 8
"""Examples of each split that are tried."""


@lru_cache(maxsize=32)
def check_task(task: Task, data: TaskData) -> None:
    """Build the model, and try a few examples of each split forward.

    Raises:
        ValueError: naming the field: batches larger than the training split, splits of different shapes, class numbers that the model has
            no output for, a model that cannot take the examples, a loss that is no finite number.
    """
    if task.batch_size > len(data.train):
        raise ValueError(
            f"Task(batch_size=...) must be at most the {len(data.train)} training examples of {task.name}, "
            f"but got {task.batch_size}."
        )
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    for name, split in splits.items():
        _check_like(name, split, data.train)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        model = _model(task)
        for name, split in splits.items():
            _check_split(task, model, name, split)


def _check_like(name: str, split: Split, train: Split) -> None:
    for part, one, other in (("inputs", split.inputs, train.inputs), ("targets", split.targets, train.targets)):
        if (one.dtype, one.shape[1:]) != (other.dtype, other.shape[1:]):
            raise ValueError(
                f"TaskData({name}=...) must have {part} like those of train, {other.dtype} of shape "
                f"(n, {_sizes(other)}), but got {one.dtype} of shape (n, {_sizes(one)})."
            )


def _sizes(x: Tensor) -> str:
    return ", ".join(map(str, x.shape[1:]))


def _model(task: Task) -> nn.Module:
    try:
        model = build_model(task, seed=0)
    except Exception as error:
        raise ValueError(f"Task(model=...) of {task.name} cannot be built: {_said(error)}") from error
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        raise ValueError(
            f"Task(model=...) of {task.name} must build a torch.nn.Module with parameters, but got {type(model).__name__}."
        )
    return model.eval()


def _check_split(task: Task, model: nn.Module, name: str, split: Split) -> None:
    inputs, targets = split.inputs[:PROBED], split.targets[:PROBED]
    try:
        outputs = model(inputs)
    except Exception as error:
        shape = tuple(split.inputs.shape)
        raise ValueError(
            f"Task(model=...) of {task.name} cannot take inputs of shape {shape}: {_said(error)}"
        ) from error
    if task.metric == "accuracy":
        _check_classes(task, name, outputs, split)
    try:
        loss = task.loss(outputs, targets)
    except Exception as error:
        shapes = f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
        raise ValueError(f"Task(loss=...) of {task.name} cannot take {shapes}: {_said(error)}") from error
    if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.ndim != 0:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(f"Task(loss=...) of {task.name} must return one number, a tensor of shape (), but got {got}.")
    if not math.isfinite(loss.item()):
        raise ValueError(
            f"Task(loss=...) of {task.name} must be a finite number at the first weights, but is {loss.item()} on {name}."
        )


def _check_classes(task: Task, name: str, outputs: Tensor, split: Split) -> None:
    targets, shape = split.targets, tuple(outputs.shape)
    if targets.dtype != torch.int64:
        raise ValueError(
            f"Task(metric='accuracy') of {task.name} needs int64 class numbers as targets, but {name} has "
            f"{targets.dtype}; use metric='loss'."
        )
    if not isinstance(outputs, Tensor) or shape[:-1] != tuple(targets[:PROBED].shape):
        raise ValueError(
            f"Task(model=...) of {task.name} must return one row of logits a target, shape "
            f"{(*targets[:PROBED].shape, 'classes')}, but got {shape}."
        )
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= shape[-1]:
        raise ValueError(
            f"TaskData({name}=...) must have class numbers from 0 to {shape[-1] - 1}, the outputs of the model of {task.name}, "
            f"but has {low} to {high}."
        )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]
