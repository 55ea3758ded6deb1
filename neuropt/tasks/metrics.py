"""The loss and the metric of every task, for one model or a batch of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats.

    loss = -mean_i log softmax(logits_i)[target_i]

    Args:
        logits: shape (..., n, classes); leading axes are models.
        targets: class numbers, shape (n,).

    Returns:
        shape (...).

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(4, 10), torch.arange(4)).item()  # log 10
        2.3025851249694824
    """
    log_p = functional.log_softmax(logits, dim=-1)
    chosen = targets.unsqueeze(-1).expand(*logits.shape[:-1], 1)
    return -log_p.gather(-1, chosen).squeeze(-1).mean(-1)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the share of examples whose largest logit is the target's; a row with NaN is wrong.

    Args:
        logits: shape (..., n, classes); leading axes are models.
        targets: class numbers, shape (n,).

    Returns:
        float32 between 0 and 1, shape (...).

    Example:
        >>> import torch
        >>> accuracy(torch.eye(4), torch.tensor([0, 1, 2, 0])).item()
        0.75
    """
    right = (logits.argmax(-1) == targets) & ~logits.isnan().any(-1)
    return right.float().mean(-1)
