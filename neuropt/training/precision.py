"""In which precision the passes of a child are done: float32 throughout, or products in bfloat16 (torch's autocast).

Weights, gradients, the rule and the loss stay in float32 either way; bfloat16 has float32's range, so losses are not scaled.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bf16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a model's forward pass runs."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def logits_of(model: Callable[[Tensor], Any], inputs: Tensor, precision: Precision) -> Tensor:
    """Return what a model says, for a loss in float32."""
    with autocast(precision, inputs.device):
        logits: Tensor = model(inputs)
    return logits if precision == "float32" else logits.float()
