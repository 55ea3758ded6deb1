"""Regularised evolution: who joins, who dies, who has children."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from controllers import Evolution, EvolutionSettings, Known, Outcome
from controllers.controller import Status
from controllers.settings import Duplicates
from controllers.strings import random_strings, redraw
from tests.controllers.small_space import SmallSpace

SPACE = SmallSpace(groups=2)


def evolution(**changes: object) -> Evolution:
    small: dict[str, object] = {"population": 4, "tournament": 8}
    return Evolution(SPACE, EvolutionSettings(**small | changes), seed=1)  # type: ignore[arg-type]  # fields by name


def strings(n: int, seed: int = 5) -> list[tuple[int, ...]]:
    rows = random_strings(SPACE, n, torch.Generator().manual_seed(seed))
    return [tuple(row) for row in rows.tolist()]


def distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def test_children_differ_little_from_the_best() -> None:
    controller = evolution(tournament=50, memory=0)
    first, *others = strings(4)
    controller.begin([Known(first, 0.9), *(Known(tokens, 0.1) for tokens in others)])
    # of 50 draws among 4 the best is missing with probability .75^50 = 6e-7; a mask may forbid any change, or force some more
    changed = [distance(first, p.tokens) for p in controller.ask(40)]
    assert max(changed) <= 4
    assert Counter(changed)[1] > 20


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    controller = evolution()
    known = strings(5)
    controller.begin([Known(tokens, reward) for tokens, reward in zip(known, [0.9, 0.1, 0.2, 0.3, 0.4], strict=True)])
    metrics = controller.metrics()
    assert metrics["population_best"] == 0.4
    assert metrics["population_mean"] == pytest.approx(0.25)


def test_the_first_population_is_random() -> None:
    controller, other = evolution(), evolution()
    controller.begin([Known(tokens, 0.5) for tokens in strings(3)])  # one short
    assert controller.ask(5) == other.ask(5)


@pytest.mark.parametrize(
    ("duplicates", "status", "mean"),
    [
        # (.4 + .8) / 2, alone; with .2 of its own; with the floor of -.3
        ("skip", "duplicate", 0.6),
        ("paid", "duplicate", (0.4 + 0.8 + 0.2) / 3),
        ("floor", "duplicate", (0.4 + 0.8 - 0.3) / 3),
        ("floor", "rejected", 0.6),
        ("paid", "failed", 0.6),
    ],
)
def test_who_joins(duplicates: Duplicates, status: Status, mean: float) -> None:
    controller = evolution(duplicates=duplicates, worst_reward=-0.3)
    a, b, c = controller.ask(3)
    controller.tell(
        [
            Outcome(a.id, a.tokens, "trained", 0.4),
            Outcome(b.id, b.tokens, status, 0.2),
            Outcome(c.id, c.tokens, "trained", 0.8),
        ]
    )
    assert controller.metrics()["population_mean"] == pytest.approx(mean)


def test_a_string_is_not_proposed_twice_while_it_is_remembered() -> None:
    def different(memory: int) -> int:
        controller = evolution(memory=memory)
        controller.begin([Known(tokens, 0.5) for tokens in strings(4)])
        return len({p.tokens for _ in range(10) for p in controller.ask(20)})

    assert different(memory=1_000) == 200
    assert different(memory=0) < 200


def test_crossover_takes_tokens_of_both_parents() -> None:
    space = SmallSpace(groups=1, operands=40, unary=40, binary=40)
    controller = Evolution(space, EvolutionSettings(population=2, tournament=1, crossover=1.0), seed=1)
    mother, father = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
    controller.begin([Known(mother, 0.5), Known(father, 0.5)])
    children = [p.tokens for p in controller.ask(60)]
    inherited = [{("m", "f")[token > 4] for token in c if token < 10} for c in children]
    assert (
        sum(parents == {"m", "f"} for parents in inherited) > 20
    )  # of 60: both are parents of half, and mix in 7 of 8


def test_a_redrawn_token_changes_and_the_masks_hold() -> None:
    generator = torch.Generator().manual_seed(2)
    tokens = random_strings(SPACE, 300, generator)
    marked = np.zeros(tokens.shape, dtype=np.bool_)
    marked[np.arange(300), np.arange(300) % 10] = True
    changed = redraw(SPACE, tokens, marked, generator)
    for k in range(10):
        assert SPACE.masks(changed[:, :k])[np.arange(300), changed[:, k]].all()
    assert (changed != tokens)[marked].mean() > 0.9  # op2 of the second group may have no other choice
    assert (changed == tokens)[~marked].mean() > 0.9  # a change of op1 may forbid op2


def test_random_strings_are_uniform_at_each_position() -> None:
    first = random_strings(SPACE, 10_000, torch.Generator().manual_seed(3))[:, 0]
    # 2,000 expected of each of 5 operands, standard deviation 40
    assert np.abs(np.bincount(first) - 2_000).max() < 5 * 40
