"""DistributedDataParallel: two processes, each with half of the batch, and the same weights after every step.

torchrun starts the processes on a real machine; here they are two on this one, over gloo.
"""

import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import neuropt

PROCESSES = 2


def train(rank: int, meeting_place: str) -> None:
    """Train on this process's share of the batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=PROCESSES)
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x.sum(dim=1, keepdim=True) / 3).tanh()
    x, y = x.chunk(PROCESSES)[rank], y.chunk(PROCESSES)[rank]
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)))
    optimizer = neuropt.create_optimizer("powersign", model.parameters(), lr=0.05)
    losses = []
    for _ in range(100):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = weights.clone()
    dist.broadcast(first, src=0)
    print(
        f"process {rank}: loss {losses[0]:.4f} -> {losses[-1]:.4f}, same weights: {torch.equal(weights, first)}",
        flush=True,
    )
    dist.destroy_process_group()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(train, args=(str(Path(folder, "meeting")),), nprocs=PROCESSES)
