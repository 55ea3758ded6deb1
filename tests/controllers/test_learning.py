"""Whether the controllers learn: tests that can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controllers import Controller, Outcome, Status, TokenSpace, create_controller
from controllers.settings import Duplicates
from search_space import load_space
from tests.controllers.small_space import SmallSpace

FAVOURITE = 1
"""The operand that rewards favour."""

SEEDS = range(5)


@pytest.fixture(params=["small", "tiny"])
def space(request: pytest.FixtureRequest) -> TokenSpace:
    return SmallSpace(groups=1) if request.param == "small" else load_space("tiny", groups=1)


def reads_favourite(tokens: tuple[int, ...]) -> float:
    return float(FAVOURITE in tokens[:2])


def reads_favourite_and_varies(tokens: tuple[int, ...]) -> float:
    # no two strings need earn the same, so that each batch has an order even when all read the favourite
    return 0.5 * reads_favourite(tokens) + 0.5 * (sum(k * k * token for k, token in enumerate(tokens, 3)) % 97) / 97


def rewards_when_all_are_trained(
    controller: Controller, reward: Callable[[tuple[int, ...]], float], total: int
) -> list[float]:
    rewards: list[float] = []
    while len(rewards) < total:
        outcomes = [Outcome(p.id, p.tokens, "trained", reward(p.tokens)) for p in controller.ask(20)]
        controller.tell(outcomes)
        rewards += [reward(outcome.tokens) for outcome in outcomes]
    return rewards


def strings_when_copies_are_duplicates(controller: Controller, total: int) -> list[tuple[int, ...]]:
    strings: list[tuple[int, ...]] = []
    while len(strings) < total:
        outcomes = []
        for p in controller.ask(20):
            status: Status = "duplicate" if p.tokens in strings else "trained"
            outcomes.append(Outcome(p.id, p.tokens, status, reads_favourite_and_varies(p.tokens)))
            strings.append(p.tokens)
        controller.tell(outcomes)
    return strings


def mean_of_last_100(name: str, space: TokenSpace, seed: int) -> float:
    controller = create_controller(name, space, seed)
    return sum(rewards_when_all_are_trained(controller, reads_favourite, total=400)[-100:]) / 100


# random search draws the favourite in about 2 / operands of its strings; a learner has 300 samples to find out that it pays
@pytest.mark.parametrize("name", ["ppo", "reinforce", "tree"])
def test_learning_beats_random_search_by_a_clear_margin_on_every_seed(name: str, space: TokenSpace) -> None:
    for seed in SEEDS:
        assert mean_of_last_100(name, space, seed) > mean_of_last_100("random", space, seed) + 0.3


def test_trpo_beats_random_search() -> None:
    space = load_space("tiny", groups=1)
    assert mean_of_last_100("trpo", space, seed=0) > mean_of_last_100("random", space, seed=0) + 0.3


def test_evolution_finds_better_strings_than_random_search_on_every_seed() -> None:
    """It never repeats a string, so there must be enough of them; its reward climbs with each position that is right."""
    space = load_space("icml2017", groups=2)
    target = create_controller("random", space, seed=99).ask(1)[0].tokens

    def right(tokens: tuple[int, ...]) -> float:
        return sum(a == b for a, b in zip(tokens, target, strict=True)) / len(target)

    def best(name: str, seed: int) -> float:
        return max(rewards_when_all_are_trained(create_controller(name, space, seed), right, total=400))

    for seed in SEEDS:
        assert best("evolution", seed) >= best("random", seed) + 0.2


def distinct_among_last_200(space: TokenSpace, duplicates: Duplicates, seed: int) -> int:
    controller = create_controller("ppo", space, seed, {"duplicates": duplicates})
    return len(set(strings_when_copies_are_duplicates(controller, total=600)[-200:]))


def test_paid_duplicates_collapse_the_policy_and_the_floor_cures_it(space: TokenSpace) -> None:
    for seed in SEEDS:
        assert distinct_among_last_200(space, "paid", seed) <= 20
        assert distinct_among_last_200(space, "floor", seed) >= 80
