"""What tasks are trained by, the loss, and measured by, the metric: functions of what a model says and what is right.

A metric is `accuracy`, where higher is better, or the task's own `loss`, where lower is. `merit` is the one place that says so: whatever
compares two values of a metric, a value with a target or a reward with another, compares merits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Metric = Literal["accuracy", "loss"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""(what the model says of n examples, their targets) -> the mean loss, one number"""


def merit(metric: Metric, value: float) -> float:
    """Return a value of a metric as a number of which more is better: accuracy itself, minus a loss.

    Example:
        >>> merit("accuracy", 0.9) > merit("accuracy", 0.8), merit("loss", 0.9) > merit("loss", 0.8)
        (True, False)
    """
    return value if metric == "accuracy" else -value


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats.

    loss = -mean_i log softmax(logits_i)[target_i]

    Args:
        logits: shape (..., n, classes); leading axes are models. Where targets have more axes, such as places in a text, so have logits.
        targets: class numbers, shape (n,) or (n, ...).

    Returns:
        shape (...).

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(4, 10), torch.arange(4)).item()  # log 10
        2.3025851249694824
    """
    log_p = functional.log_softmax(logits, dim=-1)
    chosen = targets.unsqueeze(-1).expand(*logits.shape[:-1], 1)
    return -log_p.gather(-1, chosen).squeeze(-1).flatten(-targets.ndim).mean(-1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error over examples and their numbers.

    loss = mean_i (output_i - target_i)^2

    Args:
        outputs, targets: shape (n, ...).

    Raises:
        ValueError: the shapes differ, which torch would otherwise spread over each other.

    Example:
        >>> import torch
        >>> squared_error(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)).item()  # (1 + 9) / 2
        5.0
    """
    if outputs.shape != targets.shape:
        raise ValueError(
            f"squared_error needs two equal shapes, but got {tuple(outputs.shape)} and {tuple(targets.shape)}."
        )
    return (outputs - targets).square().mean()


def output_mean(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of what the model says: for models that are functions to be minimised, without right answers.

    Args:
        outputs: shape (n,), the function at each example.
        targets: not used.

    Example:
        >>> import torch
        >>> output_mean(torch.tensor([1.0, 3.0]), torch.zeros(2, 1)).item()
        2.0
    """
    return outputs.mean()


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of examples whose largest logit is the target's; a row with NaN is wrong.

    Args:
        logits: shape (..., n, classes); leading axes are models. Where targets have more axes, so have logits.
        targets: class numbers, shape (n,) or (n, ...).

    Returns:
        float32 between 0 and 1, shape (...).

    Example:
        >>> import torch
        >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])).item()
        0.75
    """
    right = (logits.argmax(-1) == targets) & ~logits.isnan().any(-1)
    return right.float().flatten(-targets.ndim).mean(-1)


def measure(loss: Loss, metric: Metric, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return loss and accuracy of many models, float64, of the shape of the leading axes; accuracy is NaN where it is not the metric.

    Args:
        loss, metric: of the task.
        outputs: shape (seeds, columns, n, ...): what each model says.
        targets: of the n examples.
    """
    losses = torch.stack([torch.stack([loss(one, targets) for one in row]) for row in outputs]).double()
    shares = accuracy(outputs, targets).double() if metric == "accuracy" else torch.full_like(losses, torch.nan)
    return losses, shares
