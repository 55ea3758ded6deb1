"""Every name that `neuropt optimizers` lists trains in an evaluation."""

from __future__ import annotations

import pytest

from neuropt.evaluating.evaluate import evaluate
from neuropt.optimizers import named_optimizers
from search_space import zoo

GUESSING = 0.1
"""Accuracy of a guess among ten digits."""


@pytest.mark.slow
def test_every_listed_name_trains_digits() -> None:
    names = sorted({*named_optimizers(), *zoo()})
    found = evaluate(names, ["digits-mlp"], seeds=2, tune_seeds=1, steps=100)
    assert {row.optimizer: row.failure for row in found.rows} == dict.fromkeys(names)
    accuracies = {row.optimizer: row.accuracy.median for row in found.rows if row.accuracy is not None}
    assert set(accuracies) == set(names)
    # exp(g) - exp(mhat) vanishes where the gradient is steady: it needs more than a hundred steps
    assert {name: accuracy for name, accuracy in accuracies.items() if accuracy <= 5 * GUESSING}.keys() == {"bello-15"}
