from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["compare", "figure", "measured", "statistics", "trace"])
def test_examples_print_what_they_say(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"neuropt.comparing.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
