"""`neuropt meta-train`: what trains the learned optimizer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg


@dataclass(frozen=True)
class MetaTrain:
    """Train the network of the learned LSTM optimizer on a task, and write it to a file."""

    task: str
    """quadratics, or a name of `neuropt tasks`"""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """file to write; LSTMOptimizer(weights=FILE) reads it"""
    trajectories: int = 1_000
    """trainings that it learns from"""
    steps: int = 100
    """length of a training; the first half of the trajectories lead up to it"""
    unroll: int = 20
    """steps that gradients pass back through"""
    meta_lr: float = 1e-3
    """learning rate of Adam, which trains the network; it falls linearly to 0"""
    p: float = 10.0
    """gradients under e^-p count as tiny; the authors' code has 5"""
    seed: int = 0
    """root seed of weights and draws"""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    overwrite: bool = False
    """replace the file if there is one"""

    def __call__(self) -> None:
        """Train it."""
        from neuropt.training.meta_training import meta_train  # imports torch

        arguments = {name: value for name, value in vars(self).items() if name not in ("task", "out")}
        done = meta_train(self.task, self.out, **arguments, progress=lambda line: print(line, file=sys.stderr))
        print(f"wrote {done.path}; held-out loss {done.best:.4g}, untrained {done.before:.4g}")
