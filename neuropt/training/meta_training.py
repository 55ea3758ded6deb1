"""Meta-training: the network of the learned optimizer learns by gradient descent how to descend.

It trains many optimizees, each from another start; after every 20 steps its weights move by Adam against the sum of the losses of
these steps (`neuropt.training.unrolling`), and the training goes on. The best weights on optimizees that are held out are kept.

Source: Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NIPS 2016.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from neuropt.optimizers.arguments import check_number
from neuropt.optimizers.lstm_network import Network, fresh_network
from neuropt.optimizers.lstm_weights import LARGEST_P, save_network
from neuropt.tasks import get_task, load_task_data, tasks
from neuropt.training.optimizees import Family, Optimizees, Quadratics, TaskLosses
from neuropt.training.threads import one_thread
from neuropt.training.unrolling import Unrolled, trajectory

QUADRATICS = "quadratics"
HELD_OUT = 4
"""Draws of optimizees that choose the best weights, and are not trained on."""
HELD_OUT_SEED = 2**31
"""Draws for training have seeds below it, those that choose start at it; torch's generators read 32 bits of a seed."""
CHECKS = 20
"""How often the held-out optimizees are tried."""


@dataclass(frozen=True, slots=True)
class MetaTraining:
    """What came of a meta-training.

    Args:
        path: the file with the best weights.
        before, best: mean loss of held-out optimizees over the last unrolled steps, of untrained weights and of those.
    """

    path: Path
    before: float
    best: float


def meta_train(
    task: str,
    out: Path | str,
    *,
    trajectories: int = 1_000,
    steps: int = 100,
    unroll: int = 20,
    meta_lr: float = 1e-3,
    p: float = 10.0,
    seed: int = 0,
    data_dir: Path | str | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> MetaTraining:
    """Train the network of `neuropt.optimizers.LSTMOptimizer` on a task, and write it to a file.

    L(phi) = sum_t f(theta_t) over the unrolled steps;  phi moves by Adam, whose learning rate falls linearly to 0

    Equal arguments give equal weights on one machine. The file holds the best weights so far whenever it is written, so an
    interrupted meta-training leaves them.

    Args:
        task: "quadratics", 10-dimensional ones as in the paper, or a name of `neuropt tasks`; of a task only the training split is used.
        out: file to write; `LSTMOptimizer(weights=out)` reads it.
        trajectories: trainings, of 64 quadratics or one model of a task each.
        steps: length of a training; the first half of the trajectories lead up to it.
        unroll: steps that gradients pass back through.
        meta_lr: of Adam.
        p: what the network's inputs count as a tiny gradient, e^-p.
        seed: of weights and draws.
        data_dir: where data sets are; else NEUROPT_DATA, else downloads.
        overwrite: replace the file if there is one.
        progress: told in a line how far it is.

    Raises:
        ValueError: an unknown task, or a number out of range; nothing is trained then.
        TypeError: a value of another type.
        OSError: a file that exists, or a folder that does not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = meta_train("quadratics", Path(folder) / "network.pt", trajectories=5, steps=20)
        >>> done.best < done.before
        True
    """
    for name, value in (("trajectories", trajectories), ("steps", steps), ("unroll", unroll)):
        _check_whole(name, value, 1)
    _check_whole("seed", seed, 0)
    check_number("meta_lr", meta_lr, above_low=True)
    check_number("p", p, high=math.nextafter(LARGEST_P, math.inf), above_low=True)
    family, path = _family(task, data_dir), _free(Path(out), overwrite)
    say = progress or (lambda line: None)
    # a model's own random numbers, such as dropout's, come from torch's global generator
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        network = fresh_network(p, generator)
        held_out = [family.draw(HELD_OUT_SEED + i, steps) for i in range(HELD_OUT)]
        before = best = _held_out_loss(network, held_out, steps, unroll)
        save_network(network, path)
        learner = _Learner(network, meta_lr, trajectories)
        for done in range(1, trajectories + 1):
            drawn = family.draw(int(torch.randint(HELD_OUT_SEED, (), generator=generator)), steps)
            trajectory(network, drawn, growing_length(done, trajectories, steps, unroll), unroll, learner)
            learner.decay.step()
            if done % max(1, trajectories // CHECKS) == 0 or done == trajectories:
                loss = _held_out_loss(network, held_out, steps, unroll)
                say(f"{task}: {done}/{trajectories} trajectories, held-out loss {loss:.4g} (untrained {before:.4g})")
                if loss < best:
                    best = loss
                    save_network(network, path)
    return MetaTraining(path, before, best)


def growing_length(number: int, trajectories: int, steps: int, unroll: int) -> int:
    """Return the length of a trajectory: one unroll at first, all steps from the middle of the meta-training on.

    A network that has not learned to start a training drives it to where gradients are 0, and learns nothing from the rest.

    >>> [growing_length(number, 100, steps=100, unroll=20) for number in (1, 11, 25, 40, 100)]
    [20, 40, 60, 80, 100]
    """
    unrolls = math.ceil(steps / unroll * min(1.0, 2 * number / trajectories))
    return min(steps, unroll * unrolls)


class _Learner:
    """Moves a network's weights after each unroll."""

    def __init__(self, network: dict[str, Tensor], meta_lr: float, trajectories: int) -> None:
        self.adam = torch.optim.Adam([x.requires_grad_() for name, x in network.items() if name != "p"], lr=meta_lr)
        self.decay = torch.optim.lr_scheduler.LinearLR(self.adam, 1.0, 0.0, total_iters=trajectories)

    def __call__(self, part: Unrolled) -> None:
        self.adam.zero_grad()
        # a training that has left the finite numbers teaches nothing
        if part.losses.isfinite().all():
            torch.autograd.backward(part.surrogate)
        self.adam.step()


def _held_out_loss(network: Network, held_out: Sequence[Optimizees], steps: int, unroll: int) -> float:
    """Return the mean loss over the last unroll, as the authors' code chooses by."""
    ends = [trajectory(network, optimizees, steps, unroll)[-unroll:].mean() for optimizees in held_out]
    return float(torch.stack(ends).mean())


def _family(task: str, data_dir: Path | str | None) -> Family:
    if task == QUADRATICS:
        return Quadratics()
    if task not in tasks():
        raise ValueError(f"unknown task {task!r}; choose one of {QUADRATICS}, {', '.join(tasks())}.")
    known = get_task(task)
    return TaskLosses(known, load_task_data(known, data_dir).train)


def _free(path: Path, overwrite: bool) -> Path:
    """Return the path if it can be written to; said before the training, not after it."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; choose another name, or ask to overwrite it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to.")
    return path


def _check_whole(name: str, value: int, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, but got {value!r}.")
    if not lowest <= value < 2**31:
        raise ValueError(f"{name} must be a whole number from {lowest} to 2^31 - 1, but got {value}.")
