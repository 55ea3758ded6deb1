"""Every optimizer that the product makes passes the suite: strictly, but for torch's own."""

from __future__ import annotations

import importlib.util
import inspect
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch.optim import Optimizer

from neuropt import create_optimizer, export_rule, optimizers, zoo
from neuropt.exporting import Provenance
from neuropt.exporting.layout import class_name
from neuropt.optimizers import named_optimizers
from neuropt.testing import check_optimizer
from search_space import parse_rule

STEPS = 100
CLASSES = [
    cls
    for cls in vars(optimizers).values()
    if inspect.isclass(cls) and issubclass(cls, Optimizer) and cls.__module__.startswith("neuropt.")
]


ROWS = named_optimizers()
FIRST = {row.factory: name for name, row in reversed(tuple(ROWS.items()))}


def test_every_class_has_a_name() -> None:
    assert set(CLASSES) <= FIRST.keys()


@pytest.mark.parametrize("name", ROWS)
def test_every_name_passes_and_every_class_of_ours_compiled_too(name: str) -> None:
    row = ROWS[name]
    planned = {key: value for key, value in row.arguments(1.0, STEPS).items() if key != "lr"}
    ours = row.factory in CLASSES
    backend = "eager" if ours and FIRST[row.factory] == name else None
    check_optimizer(partial(create_optimizer, name, **planned), strict=ours, backend=backend)


@pytest.mark.parametrize("name", zoo())
def test_every_rule_of_the_zoo_passes(name: str) -> None:
    rule = zoo()[name]
    planned: dict[str, Any] = {"decay_steps": STEPS} if rule.reads("T") else {}
    check_optimizer(partial(create_optimizer, rule, **planned), strict=True, backend=None)


@pytest.mark.parametrize("name", zoo())
def test_every_exported_file_passes(name: str, tmp_path: Path) -> None:
    rule = zoo()[name]
    exported = partial(_exported(name, tmp_path), **({"decay_steps": STEPS} if rule.reads("T") else {}))
    check_optimizer(exported, strict=True, backend=None)


@pytest.mark.parametrize(
    "rule", ["sign(g)", "s = 0.9 * prev(s) + norm(g); u = m / s", "drop(g, 0.2) + noise(0.01) * g"]
)
def test_any_rule_passes_compiled_too(rule: str) -> None:
    check_optimizer(partial(create_optimizer, parse_rule(rule)), strict=True, backend="eager")


def _exported(name: str, folder: Path) -> Any:
    path = folder / "exported.py"
    path.write_text(export_rule(zoo()[name], "torch", Provenance(name=name)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, class_name(name))
