"""Random search drawn without a controller is the random search that is compared."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import torch

from controllers import create_controller
from controllers.strings import random_strings
from neuropt.comparing.table_search import search_table
from neuropt.comparing.trace import first_hit
from neuropt.tables.enumerating import string_numbers
from neuropt.tables.table_file import load_table
from search_space import load_space

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "random_reference.py"))
chances, random_firsts = SCRIPT["chances"], SCRIPT["random_firsts"]


def test_strings_are_as_probable_as_random_search_draws_them() -> None:
    space = load_space("tiny")
    numbers, chance = chances(space)
    assert chance.sum() == 1.0
    draws = 20_000
    drawn = string_numbers(space, random_strings(space, draws, torch.Generator().manual_seed(0)))
    counts = np.bincount(drawn, minlength=space.size)[numbers]
    assert counts.sum() == draws, "nothing that is not allowed"
    # chi-square over 384 strings: mean 383, standard deviation sqrt(2 * 383) = 28; 5 of them are enough
    assert ((counts - draws * chance) ** 2 / (draws * chance)).sum() < 383 + 5 * 28


def test_searches_are_as_long_as_those_of_the_controller(table: str) -> None:
    loaded = load_table(table)
    judged = loaded.judge((0,))
    top, budget = judged.top(0.1), 12
    drawn = np.minimum(random_firsts(loaded, top, 1_000, budget, np.random.default_rng(0)), budget)
    searched = []
    for seed in range(60):
        trace = search_table(loaded, judged, create_controller("random", loaded.space, seed), budget)
        searched.append(first_hit(trace.children, top) or budget)
    error = np.hypot(np.std(searched) / np.sqrt(60), np.std(drawn) / np.sqrt(1_000))
    assert abs(np.mean(searched) - np.mean(drawn)) < 4 * error
