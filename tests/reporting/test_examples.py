from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module", ["formulas", "measures", "provenance", "rendering", "search_figures", "tables", "tuning_figures"]
)
def test_examples_print_what_they_say(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"neuropt.reporting.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
