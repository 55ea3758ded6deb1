from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

import controllers
from tests.controllers.small_space import SmallSpace

MODULES = ["controllers", *(f"controllers.{module.name}" for module in pkgutil.iter_modules(controllers.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    names = {**vars(controllers), **vars(module), "space": SmallSpace(), "torch": torch}
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder().find(module, extraglobs=names):
        runner.run(test)
    assert runner.summarize().failed == 0
