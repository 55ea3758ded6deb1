"""One torch thread, as in workers: two on two busy cores are far slower, and bits depend on their number; and a small evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from tests.evaluating.folders import SMALL


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Give the threads back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """A finished evaluation, and its folder."""
    folder = tmp_path_factory.mktemp("evaluations") / "whole"
    return folder, evaluate(["adam", "adabound", "rmsprop"], ["digits-mlp"], out=folder, **SMALL)
