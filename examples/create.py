"""One factory for a training script's `--opt NAME --opt-kwargs ...`, as timm's `create_optimizer_v2` is.

timm takes a model and parts its parameters itself; `create` takes parameters or groups, so both fit one script:

    groups = timm.optim.param_groups_weight_decay(model, 0.05)     # no decay for biases and norms
    optimizer = create("lion", groups, lr=1e-4)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

import neuropt


def create(name: str, params: Iterable[Any], **hyper: Any) -> Optimizer:
    """Make an optimizer by the name of a known one, rule text, `RUN:k`, or an exported file."""
    if name in neuropt.zoo() or not Path(name).suffix:
        return neuropt.create_optimizer(name, params, **hyper)
    return neuropt.create_optimizer(neuropt.find_rule(name).rule, params, **hyper)


if __name__ == "__main__":
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.LayerNorm(32), nn.Linear(32, 1))
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    for name, hyper in {"lion": {"lr": 1e-3}, "adamw": {"lr": 1e-2}, "sgdw": {"lr": 0.1, "momentum": 0.8}}.items():
        optimizer = create(name, groups, **hyper)
        print(f"{name}: weight decay {[group['weight_decay'] for group in optimizer.param_groups]}")
