"""An exported class steps parameters that are sharded over processes as it does whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.multiprocessing.spawn import spawn

from neuropt.exporting import export_rule
from search_space import parse_rule

PROCESSES = 2
RULES = {"adam": "adam", "draws": "drop(m, 0.3) + noise(0.1)", "whole tensors": "m / norm(g)"}
START = torch.arange(10.0).view(5, 2)
GRADIENT = torch.cos(START)


def _step(source: str, make: Any) -> Tensor:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(source, namespace)
    w = torch.nn.Parameter(make(START.clone()))
    optimizer = namespace["FoundRule"]([w], lr=0.1, weight_decay=0.1)
    for step in range(3):
        w.grad = make(GRADIENT * (step + 1))
        optimizer.step()
    return w.detach()


def _sharded(rank: int, folder: str, sources: dict[str, str]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES
    )
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for name, source in sources.items():
        w = _step(source, lambda x: distribute_tensor(x, mesh, [Shard(0)]))
        assert isinstance(w, DTensor)
        assert len(w.to_local()) == (3, 2)[rank]
        torch.save(w.full_tensor(), f"{folder}/{name} {rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_shards_step_as_the_whole_does(tmp_path: Path) -> None:
    sources = {name: export_rule(parse_rule(text), "torch") for name, text in RULES.items()}
    spawn(_sharded, (str(tmp_path), sources), nprocs=PROCESSES)
    for name, source in sources.items():
        whole = _step(source, lambda x: x)
        for rank in range(PROCESSES):
            torch.testing.assert_close(torch.load(tmp_path / f"{name} {rank}.pt"), whole, msg=f"{name}, process {rank}")
