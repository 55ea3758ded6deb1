"""The reference has every public name."""

from __future__ import annotations

import importlib
import re
from types import ModuleType
from typing import Any

import pytest

import controllers
import neuropt.exporting
import neuropt.optimizers
import neuropt.tasks
import neuropt.testing
import search_space
from tests.project.pages import ROOT

PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md"))}
NAMES = [name for page in PAGES.values() for name in re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)]
PACKAGES = (neuropt, search_space, controllers, neuropt.optimizers, neuropt.tasks, neuropt.testing, neuropt.exporting)


def named(path: str) -> Any:
    """The object with a dotted name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there(package: ModuleType) -> None:
    documented = [named(name) for name in NAMES]
    for name in package.__all__:
        found = getattr(package, name)
        if not isinstance(found, ModuleType):  # their own names are
            assert f"{package.__name__}.{name}" in NAMES or any(found is one for one in documented), name


def test_what_neuropt_lifts_is_under_that_name() -> None:
    for name in neuropt.__all__:
        if not isinstance(getattr(neuropt, name), ModuleType):
            assert f"neuropt.{name}" in NAMES, name


def test_no_name_is_there_twice() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert all(named(name) is not None for name in NAMES)


def test_the_contents_name_every_page() -> None:
    for name in PAGES.keys() - {"index.md"}:
        assert f"({name})" in PAGES["index.md"], name
