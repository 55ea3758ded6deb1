"""What a task is: a model, data in three disjoint splits, a loss, a metric and a budget.

Three instances show the range. `digits-mlp` is small enough that thousands of children train together in one batched population, so its
model is an `MLP`, plain numbers that any layout can read. `mnist-lenet` is an ordinary `nn.Module` with convolutions, built by a
function. `cifar10-convnet` has the same shape and a budget of minutes. A user's own task is a fourth instance of the same record.

The loss is cross-entropy unless the task says otherwise, the metric is accuracy or the loss (`neuropt.tasks.metrics`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from neuropt.tasks.hashing import hash_tensors, row_hashes
from neuropt.tasks.metrics import Loss, Metric, cross_entropy, merit
from neuropt.tasks.task_file import task_of_source

Activation = Literal["relu", "sigmoid", "tanh"]

EXAMPLE_TYPES = (torch.float32, torch.int64)

ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}

SHARED_EXAMPLES = 0.1
"""The share of a split that may also be in another one: natural data holds a few copies, a split used twice shares everything."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Hold the examples of one split.

    Args:
        inputs: float32, or int64 such as numbers of characters; shape (n, ...).
        targets: class numbers, int64, or numbers to come near to, float32; shape (n, ...), one row per example.

    Raises:
        ValueError: for other types, shapes or an empty split.

    Example:
        >>> len(Split(torch.zeros(3, 8), torch.tensor([0, 1, 0])))
        3
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if self.inputs.dtype not in EXAMPLE_TYPES:
            raise ValueError(f"Split(inputs=...) must be float32 or int64, but got {self.inputs.dtype}; call .float().")
        if self.targets.dtype not in EXAMPLE_TYPES or self.targets.ndim < 1:
            raise ValueError(
                f"Split(targets=...) must be int64 class numbers or float32 numbers, one row per example, but got "
                f"{self.targets.dtype} of shape {tuple(self.targets.shape)}."
            )
        if self.inputs.ndim < 2 or len(self.inputs) != len(self.targets):
            raise ValueError(
                f"Split(inputs=...) must have shape ({len(self.targets)}, ...), one row per target, "
                f"but got {tuple(self.inputs.shape)}."
            )
        if len(self.targets) == 0:
            raise ValueError("Split(inputs=..., targets=...) must hold at least one example, but got none.")

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class TaskData:
    """Hold the three splits of a task: train on one, choose by the second, report the third once.

    Args:
        train: what children are trained on.
        validation: where rewards and learning rates come from.
        test: for finalists and evaluations only.
        sha256: hash over all six tensors, printed in runs; `TaskData.of` computes it.

    Raises:
        ValueError: when two splits share more than a tenth of their examples.

    Example:
        >>> data = TaskData.of(*(Split(torch.full((1, 2), x), torch.tensor([0])) for x in (1.0, 2.0, 3.0)))
        >>> len(data.sha256)
        64
    """

    train: Split
    validation: Split
    test: Split
    sha256: str

    @classmethod
    def of(cls, train: Split, validation: Split, test: Split) -> TaskData:
        """Make the data of three splits and hash it."""
        splits = (train, validation, test)
        return cls(*splits, sha256=hash_tensors(*(x for split in splits for x in (split.inputs, split.targets))))

    def __post_init__(self) -> None:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        hashes = {name: row_hashes(split.inputs, split.targets) for name, split in splits.items()}
        for one, other in combinations(splits, 2):
            shared = len(hashes[one] & hashes[other])
            smaller = min(len(hashes[one]), len(hashes[other]))
            if shared > SHARED_EXAMPLES * smaller:
                raise ValueError(
                    f"TaskData({one}=..., {other}=...) must be disjoint, but {shared} of the {smaller} distinct "
                    f"examples of the smaller split are in both; give each example to one split."
                )


@dataclass(frozen=True, slots=True)
class MLP:
    """Describe a multi-layer perceptron that whole populations can train batched.

    A child is one flat row (weight, bias, weight, bias, ...), in the order of `nn.Module.parameters()`; a weight is (outputs, inputs)
    row by row, as in `nn.Linear`. The activation stands between the layers, not after the last.

    Args:
        sizes: units of each layer, inputs and outputs included, such as (64, 32, 10).
        activation: "relu", "sigmoid" or "tanh".

    Raises:
        ValueError: for fewer than two sizes, a size under 1 or an unknown activation.

    Example:
        >>> MLP((64, 32, 10)).parameter_count
        2410
    """

    sizes: tuple[int, ...]
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if len(self.sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in self.sizes):
            raise ValueError(f"MLP(sizes=...) must be two or more positive integers, but got {self.sizes!r}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"MLP(activation=...) must be one of {', '.join(get_args(Activation))}, but got {self.activation!r}."
            )

    @property
    def parameter_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of weight, bias, weight, bias, ... in the flat row."""
        return tuple(shape for inputs, units in pairwise(self.sizes) for shape in ((units, inputs), (units,)))

    @property
    def parameter_count(self) -> int:
        """Length P of the flat row."""
        return sum(math.prod(shape) for shape in self.parameter_shapes)

    def build(self) -> nn.Sequential:
        """Build the torch module, initialised from torch's global generator (`build_model` gives it a seed)."""
        layers: list[nn.Module] = []
        for inputs, units in pairwise(self.sizes):
            layers += [nn.Linear(inputs, units), ACTIVATIONS[self.activation]()]
        return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a user's own task.

    Args:
        path: absolute.
        name: of the task in it.
        text: of the file.
    """

    path: str
    name: str
    text: str


@dataclass(frozen=True)
class Task:
    """Say what a child is trained on, for how long, and what its reward can be.

    Args:
        name: lower-case letters, digits and hyphens, as typed at the command line.
        description: one line for listings.
        family: tasks of one family are not independent evidence, e.g. "vision".
        load: data directory or None -> the data; loaded once a process by `load_task_data`.
        model: an `MLP`, or a function that builds a module.
        batch_size: examples a step.
        steps: the child's budget.
        halving: (step, keep) pairs: after `step` steps only the best `keep` learning rates of a rule go on.
        loss_bound: a training loss above it, or one that is not finite, is divergence.
        worst_reward, best_reward: low and high end of accuracy as a reward; diverged children get the low one.
        metric: "accuracy", the share of right answers (higher is better), or "loss" (lower is better).
        loss: (outputs, targets) -> the mean loss of one model; trained by, and measured by where it is the metric.
        target: the value of the metric on validation that a tuned good optimizer reaches near the end of the budget; None where nobody
            has measured it.
        download: what has to be downloaded or put into the data directory, for listings; None for nothing.
        source: of a task that comes from a user's file; filled in where it is loaded.

    Raises:
        ValueError: naming the field, what it got and what would be valid.
    """

    name: str
    description: str
    family: str
    load: Callable[[Path | None], TaskData]
    model: MLP | Callable[[], nn.Module]
    batch_size: int
    steps: int
    halving: tuple[tuple[int, int], ...] = ()
    loss_bound: float = 100.0
    worst_reward: float = 0.0
    best_reward: float = 1.0
    metric: Metric = "accuracy"
    loss: Loss = cross_entropy
    target: float | None = None
    download: str | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(f"Task(name=...) must be lower-case words joined by hyphens, but got {self.name!r}.")
        if "\n" in self.description or not self.description:
            raise ValueError(f"Task(description=...) must be one line of text, but got {self.description!r}.")
        if self.metric not in get_args(Metric):
            raise ValueError(f"Task(metric=...) must be one of {', '.join(get_args(Metric))}, but got {self.metric!r}.")
        if isinstance(self.model, MLP) and self.loss is not cross_entropy:
            raise ValueError(
                "Task(loss=...) must be cross_entropy for an MLP, whose passes are written out for it; "
                "give Task(model=...) a function that builds the module instead, such as MLP(...).build."
            )
        if self.target is not None and not math.isfinite(self.target):
            raise ValueError(f"Task(target=...) must be a finite number or None, but got {self.target!r}.")
        for field, value in (("batch_size", self.batch_size), ("steps", self.steps)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"Task({field}=...) must be a positive integer, but got {value!r}.")
        _check_halving(self.halving, self.steps)
        if not 0 < self.loss_bound < math.inf:
            raise ValueError(f"Task(loss_bound=...) must be a positive finite number, but got {self.loss_bound}.")
        if not -math.inf < self.worst_reward < self.best_reward < math.inf:
            raise ValueError(
                f"Task(worst_reward=..., best_reward=...) must be finite and increasing, "
                f"but got {self.worst_reward} and {self.best_reward}."
            )

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a task of a file as the file's text, which is run where it arrives."""
        return super().__reduce_ex__(protocol) if self.source is None else (task_of_source, (self.source, self.steps))

    @property
    def typed(self) -> str:
        """The task as the user types it: its name, or `path/to/task.py:NAME`."""
        return self.name if self.source is None else f"{self.source.path}:{self.source.name}"

    def reaches(self, value: float) -> bool:
        """Whether a value of the metric is as good as the target; NaN never is.

        Raises:
            ValueError: the task has no target.

        Example:
            >>> from neuropt.tasks import get_task
            >>> task = replace(get_task("digits-mlp"), target=0.95)
            >>> task.reaches(0.96), task.reaches(0.94)
            (True, False)
        """
        if self.target is None:
            raise ValueError(f"Task(target=...) of {self.name} is None, so nothing reaches it; give it a value.")
        return merit(self.metric, value) >= merit(self.metric, self.target)

    def with_budget(self, steps: int) -> Task:
        """Return the task with another number of steps, halving at the same shares of the budget.

        Example:
            >>> from neuropt.tasks import get_task
            >>> get_task("digits-mlp").with_budget(steps=300).halving
            ((50, 4), (150, 2))
        """
        moved: list[tuple[int, int]] = []
        for step, keep in self.halving:
            at = max(1, round(step * steps / self.steps))
            if at < steps:
                # two halvings that fall on one step are the later, stricter one
                moved = [pair for pair in moved if pair[0] < at] + [(at, keep)]
        return replace(self, steps=steps, halving=tuple(moved))


def _check_halving(halving: tuple[tuple[int, int], ...], steps: int) -> None:
    at = [0, *(step for step, _ in halving), steps]
    if any(later <= earlier for earlier, later in pairwise(at)) and halving:
        raise ValueError(
            f"Task(halving=...) must have increasing steps between 1 and steps - 1 = {steps - 1}, but got {halving!r}."
        )
    kept = [keep for _, keep in halving]
    if any(keep < 1 for keep in kept) or any(later >= earlier for earlier, later in pairwise(kept)):
        raise ValueError(
            f"Task(halving=...) must keep fewer learning rates each time and at least 1, but got {halving!r}."
        )
