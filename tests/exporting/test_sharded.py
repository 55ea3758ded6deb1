"""An exported class steps parameters that are sharded over processes as it does whole ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.nn import Parameter
from torch.optim import Optimizer

from neuropt.exporting import export_rule
from search_space import parse_rule
from tests.sharding import assert_shards_step_as_the_whole_does

RULES = {"adam": "adam", "draws": "drop(m, 0.3) + noise(0.1)", "whole tensors": "m / norm(g)"}


def make(source: str, parameters: list[Parameter]) -> Optimizer:
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(source, namespace)
    found: Optimizer = namespace["FoundRule"](parameters, lr=0.1, weight_decay=0.1)
    return found


@pytest.mark.slow
def test_shards_step_as_the_whole_does(tmp_path: Path) -> None:
    sources = {name: export_rule(parse_rule(text), "torch") for name, text in RULES.items()}
    assert_shards_step_as_the_whole_does({name: partial(make, source) for name, source in sources.items()}, tmp_path)
