"""Steps of parameters that are sharded over two processes, held against steps of whole ones in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import Parameter
from torch.optim import Optimizer

PROCESSES = 2
STARTS = (torch.arange(10.0).view(5, 2), torch.ones(3), torch.linspace(-1.0, 1.0, 24).view(2, 3, 4))
STEPS = 3

Make = Callable[[list[Parameter]], Optimizer]
"""What makes an optimizer: picklable, since other processes call it."""


def assert_shards_step_as_the_whole_does(makes: Mapping[str, Make], folder: Path) -> None:
    """Step in two processes and in this one, and compare parameters and what is remembered."""
    spawn(_sharded, (str(folder), dict(makes)), nprocs=PROCESSES)
    for name, make in makes.items():
        expected = _stepped(make, lambda x: x)
        for rank in range(PROCESSES):
            found = torch.load(folder / f"{name} {rank}.pt")
            torch.testing.assert_close(found, expected, msg=f"{name}, process {rank}")


def _stepped(make: Make, shard: Callable[[Tensor], Any]) -> list[Tensor]:
    """Return parameters and tensors of the state after some steps, whole ones."""
    parameters = [Parameter(shard(start.clone())) for start in STARTS]
    optimizer = make(parameters)
    for t in range(STEPS):
        for w, start in zip(parameters, STARTS, strict=True):
            w.grad = shard(torch.cos(start) * (t + 1))
        optimizer.step()
    kept = [x for w in parameters for name, x in sorted(optimizer.state[w].items()) if isinstance(x, Tensor)]
    sharded = [isinstance(x, DTensor) for x in parameters]
    assert len(set(sharded)) == 1
    assert all(isinstance(x, DTensor) == sharded[0] for x in kept if x.shape in {start.shape for start in STARTS})
    return [x.full_tensor() if isinstance(x, DTensor) else x for x in (*(w.detach() for w in parameters), *kept)]


def _sharded(rank: int, folder: str, makes: dict[str, Make]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for name, make in makes.items():
        torch.save(_stepped(make, lambda x: distribute_tensor(x, mesh, [Shard(0)])), f"{folder}/{name} {rank}.pt")
    torch.distributed.destroy_process_group()
