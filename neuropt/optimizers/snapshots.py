"""Snapshot ensembles: one training, several models, one from the end of each cosine cycle.

schedule = SnapshotLR(optimizer, total_steps=steps, cycles=5)
ensemble = SnapshotEnsemble(model, last=3)
for step in range(steps):
    ...                                  # forward, backward
    optimizer.step()
    schedule.step()
    if schedule.cycle_ended:
        ensemble.collect()
loss, accuracy = ensemble.evaluate(inputs, targets)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Optimizer

from neuropt.optimizers.arguments import check_integer
from neuropt.optimizers.schedules import FactorLR
from neuropt.tasks.metrics import accuracy, cross_entropy


class SnapshotLR(FactorLR):
    """Let the rate fall along half a cosine and start again, so many times in a training.

    lr = base_lr/2 (cos(pi mod(t - 1, ceil(T/M)) / ceil(T/M)) + 1),  t = 1 at the first step, T = total_steps, M = cycles

    A cycle is ceil(T/M) steps; the last one ends with the training, so that it is shorter where M does not divide T. Steps beyond T go on
    in the same way.

    Args:
        optimizer: whose groups' lr is scheduled; step the schedule after each step of it.
        total_steps: the planned number of steps T.
        cycles: the number of cycles M, and so of snapshots.
        last_epoch: steps done, to go on from a checkpoint without `load_state_dict`.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one that is not at least 1, or more cycles than cycles of ceil(T/M) steps fit into T.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        >>> schedule = SnapshotLR(optimizer, total_steps=4, cycles=2)
        >>> for _ in range(4):
        ...     lr = round(optimizer.param_groups[0]["lr"], 6)
        ...     optimizer.step()
        ...     schedule.step()
        ...     print(lr, schedule.cycle_ended)
        0.5 False
        0.25 True
        0.5 False
        0.25 True

    Source: Huang, Li, Pleiss, Liu, Hopcroft, Weinberger, "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017, equation 2.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, cycles: int, last_epoch: int = -1) -> None:
        check_integer("SnapshotLR(total_steps=...)", total_steps, low=1)
        check_integer("SnapshotLR(cycles=...)", cycles, low=1)
        self.total_steps, self.cycles = total_steps, cycles
        fitting = -(-total_steps // self.cycle_steps)
        if fitting < cycles:
            raise ValueError(
                f"SnapshotLR(cycles=...) must be a number of cycles that fits, but got {cycles} for {total_steps} steps, where "
                f"cycles of ceil({total_steps}/{cycles}) = {self.cycle_steps} are {fitting}; pass another total_steps or cycles."
            )
        super().__init__(optimizer, last_epoch)

    @property
    def cycle_steps(self) -> int:
        """ceil(T/M), the length of a cycle."""
        return -(-self.total_steps // self.cycles)

    @property
    def cycle_ended(self) -> bool:
        """Whether the step before `step` was the last of a cycle: the time to collect. The rate is already that of the next one."""
        t = self.last_epoch
        return t > 0 and (t % self.cycle_steps == 0 or t == self.total_steps)

    def factor(self, t: int) -> float:
        """0.5 (cos(pi mod(t, ceil(T/M)) / ceil(T/M)) + 1), t from 0."""
        return 0.5 * (math.cos(math.pi * (t % self.cycle_steps) / self.cycle_steps) + 1.0)


class SnapshotEnsemble:
    """Keep a model's weights from several times of its training, and average what they predict.

    p(x) = 1/m sum_i softmax(f_i(x)),  f_i the model with the i-th of the last m snapshots

    A snapshot is copies of all parameters and buffers. The model itself serves to compute: it is left with its own weights, its training
    or evaluation mode and its gradients, and draws no random numbers that evaluation mode does not draw. Nothing here is seen by autograd.

    Args:
        model: a classifier whose outputs are logits, classes on the last axis.
        last: the number m of snapshots kept, the oldest leaving first; None keeps all.

    Raises:
        TypeError: for arguments of another type.
        ValueError: for `last` below 1, and on use before `collect`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(1, 2, bias=False)
        >>> ensemble = SnapshotEnsemble(model, last=2)
        >>> for odds in (1.0, 3.0):  # softmax(0, log odds) is (1/2, 1/2), then (1/4, 3/4)
        ...     model.weight.data = torch.tensor([[1.0], [odds]]).log()
        ...     ensemble.collect()
        >>> ensemble(torch.ones(1, 1))
        tensor([[0.3750, 0.6250]])

    Source: Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017, section 3.
    """

    def __init__(self, model: nn.Module, last: int | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"SnapshotEnsemble(model=...) must be a torch module, but got {model!r}.")
        if last is not None:
            check_integer("SnapshotEnsemble(last=...)", last, low=1)
        self.model = model
        self._snapshots: deque[dict[str, Tensor]] = deque(maxlen=last)

    @property
    def last(self) -> int | None:
        """The number of snapshots kept at most; None is no limit."""
        return self._snapshots.maxlen

    def __len__(self) -> int:
        """Return the number of snapshots kept."""
        return len(self._snapshots)

    def collect(self) -> None:
        """Keep the model's present weights; call it at the end of a cycle."""
        self._snapshots.append({name: tensor.detach().clone() for name, tensor in _tensors(self.model).items()})

    @torch.no_grad()
    def log_probabilities(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return log p(x), finite where p(x) itself is too small for the floating-point type.

        Args:
            args, kwargs: inputs, as the model takes them.

        Returns:
            the shape of the model's outputs; float32 where those are float16 or bfloat16.
        """
        if not self._snapshots:
            raise ValueError("SnapshotEnsemble has no snapshots; call collect() at the end of each cycle first.")
        devices = {name: tensor.device for name, tensor in _tensors(self.model).items()}
        buffers = dict(self.model.named_buffers())
        members = []
        with _evaluating(self.model):
            for snapshot in self._snapshots:
                # buffers are copied: a model that counts its calls in one must not count them in the snapshot
                weights = {name: tensor.to(devices[name], copy=name in buffers) for name, tensor in snapshot.items()}
                logits: Tensor = functional_call(self.model, weights, args, kwargs)
                half = logits.dtype in (torch.float16, torch.bfloat16)
                members.append(functional.log_softmax(logits.float() if half else logits, dim=-1))
        return torch.logsumexp(torch.stack(members), dim=0) - math.log(len(members))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return p(x), the averaged softmax outputs, for inputs as the model takes them."""
        return self.log_probabilities(*args, **kwargs).exp()

    def evaluate(self, inputs: Tensor, targets: Tensor) -> tuple[float, float]:
        """Return the loss and the accuracy of the averaged probabilities.

        loss = -mean_i log p(inputs_i)[targets_i], in nats

        Args:
            inputs: n examples.
            targets: class numbers, shape (n,).

        Returns:
            loss, and the share of examples whose largest probability is the target's.
        """
        log_p = self.log_probabilities(inputs)
        return cross_entropy(log_p, targets).item(), accuracy(log_p, targets).item()

    def state_dict(self) -> dict[str, Any]:
        """Return the snapshots; `torch.load(..., weights_only=True)` takes them."""
        return {"last": self.last, "snapshots": [dict(snapshot) for snapshot in self._snapshots]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Replace the snapshots, and `last`, by copies of saved ones, on the devices of the model.

        Raises:
            ValueError: for snapshots of another model.
        """
        own = _tensors(self.model)
        for number, snapshot in enumerate(state_dict["snapshots"]):
            _check_fits(number, snapshot, own)
        copies = (
            {name: tensor.detach().to(own[name].device, copy=True) for name, tensor in snapshot.items()}
            for snapshot in state_dict["snapshots"]
        )
        self._snapshots = deque(copies, maxlen=state_dict["last"])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _check_fits(number: int, snapshot: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    if different := sorted(snapshot.keys() ^ own.keys()):
        raise ValueError(f"snapshot {number} is of another model: only one of the two has {', '.join(different)}.")
    for name, tensor in snapshot.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"snapshot {number} is of another model: {name} must have shape {tuple(own[name].shape)}, "
                f"but got {tuple(tensor.shape)}."
            )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Set evaluation mode, and restore the mode of each module of its own: some may be frozen."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
