"""A real table of a few dozen rules, built once, and one torch thread, as in workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from neuropt.tables.building import build_table
from neuropt.tables.config import TableConfig


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of a table: the space `tiny`, 12 steps on digits-mlp, three seeds."""
    config = TableConfig(space="tiny", seeds=3, steps=12, executor="in-process")
    return str(build_table(config, tmp_path_factory.mktemp("tables") / "tiny.npz"))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Give the threads back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
