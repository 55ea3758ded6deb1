"""Risk-seeking updates, the priority queue, and mutants among the proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from controllers import (
    PPO,
    TRPO,
    Outcome,
    PPOSettings,
    Reinforce,
    ReinforceSettings,
    TRPOSettings,
    risk_seeking,
)
from controllers.mutants import Mutants
from controllers.priority_queue import PriorityQueue
from controllers.recent import Recent
from controllers.strings import random_strings
from tests.controllers.small_space import SmallSpace

SPACE = SmallSpace(groups=2)
PARENTS = PPOSettings().mutant_population
"""Strings that must be trained before there are mutants."""


def test_only_the_best_share_teaches() -> None:
    # the .75 quantile of 1..5 is 4: 0, 0, 0, 0, 1, divided by .25
    assert risk_seeking(torch.tensor([1.0, 5.0, 2.0, 4.0, 3.0]), top_share=0.25).tolist() == [0.0, 4.0, 0.0, 0.0, 0.0]


def test_everything_teaches_by_default() -> None:
    advantages = torch.tensor([-1.0, 0.5])
    assert torch.equal(risk_seeking(advantages, top_share=1.0), advantages)


def test_a_baseline_cancels() -> None:
    rewards = torch.tensor([0.1, 0.9, 0.4, 0.7])
    assert torch.allclose(risk_seeking(rewards - 3.0, 0.5), risk_seeking(rewards, 0.5), atol=1e-6)


def test_bad_strings_of_a_risk_seeking_batch_are_not_made_less_probable() -> None:
    def gradients(top_share: float) -> torch.Tensor:
        controller = Reinforce(
            SPACE, ReinforceSettings(batch_size=10, top_share=top_share, entropy_weight=0.0, hidden=8), seed=1
        )
        before = {name: w.clone() for name, w in controller.policy.state_dict().items()}
        proposals = controller.ask(10)
        controller.tell([Outcome(p.id, p.tokens, "trained", float(p.id > 7)) for p in proposals])
        after = Reinforce(SPACE, controller.settings, seed=1)
        after.policy.load_state_dict(before)
        tokens = np.array([p.tokens for p in proposals])
        return controller.policy.evaluate(tokens)[0] - after.policy.evaluate(tokens)[0]

    assert bool((gradients(0.2)[8:] > 0).all())


def test_the_queue_keeps_the_best_different_strings_and_of_equal_ones_the_earlier() -> None:
    queue = PriorityQueue(size=2)
    a, b, c, d = (1, 0), (2, 0), (3, 0), (4, 0)
    queue.add([Outcome(0, a, "trained", 0.5), Outcome(1, b, "trained", 0.5), Outcome(2, c, "trained", 0.5)])
    assert queue.strings().tolist() == [list(a), list(b)]
    queue.add([Outcome(3, b, "trained", 0.9), Outcome(4, d, "duplicate", 1.0), Outcome(5, d, "failed", 1.0)])
    assert queue.strings().tolist() == [list(b), list(a)]
    assert queue.mean_reward == pytest.approx(0.7)


def test_no_queue_remembers_nothing() -> None:
    queue = PriorityQueue(size=0)
    queue.add([Outcome(0, (1, 0), "trained", 0.5)])
    assert len(queue) == 0


@pytest.mark.parametrize("algorithm", ["reinforce", "ppo", "trpo"])
def test_the_policy_repeats_the_queue(algorithm: str) -> None:
    """Equal rewards in each batch teach nothing; what the queue holds becomes more probable all the same."""

    def make(queue_size: int) -> Reinforce | PPO | TRPO:
        common = {"batch_size": 4, "queue_size": queue_size, "queue_weight": 1.0, "hidden": 8}
        match algorithm:
            case "reinforce":
                return Reinforce(SPACE, ReinforceSettings(**common), seed=1)  # type: ignore[arg-type]  # fields by name
            case "ppo":
                return PPO(SPACE, PPOSettings(**common), seed=1)  # type: ignore[arg-type]  # fields by name
            case _:
                return TRPO(SPACE, TRPOSettings(**common), seed=1)  # type: ignore[arg-type]  # fields by name

    def gain(queue_size: int) -> float:
        controller, untouched = make(queue_size), make(queue_size)
        first = controller.ask(4)
        controller.tell([Outcome(p.id, p.tokens, "trained", 0.9) for p in first[:1]])
        controller.tell([Outcome(p.id, p.tokens, "trained", 0.9) for p in first[1:]])
        for _ in range(5):
            controller.tell([Outcome(p.id, p.tokens, "trained", 0.5) for p in controller.ask(4)])
        tokens = np.array([first[0].tokens])
        return (controller.policy.evaluate(tokens)[0] - untouched.policy.evaluate(tokens)[0]).item()

    assert gain(queue_size=4) > gain(queue_size=0) + 0.01


def changed_from(tokens: tuple[int, ...], told: set[tuple[int, ...]]) -> bool:
    """Whether a string differs from one of those told by at most two tokens: one changed, one that the change forbade."""
    return any(0 < differing(tokens, other) <= 2 for other in told)


def differing(tokens: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum(a != b for a, b in zip(tokens, other, strict=True))


def test_mutants_are_changed_copies_of_what_was_told_and_repeat_nothing() -> None:
    controller = PPO(SPACE, PPOSettings(mutant_share=0.999, hidden=8), seed=3)
    first = controller.ask(PARENTS)
    controller.tell([Outcome(p.id, p.tokens, "trained", p.id / 100) for p in first])
    told = {p.tokens for p in first}
    mutants = [p.tokens for p in controller.ask(20)]
    assert all(changed_from(tokens, told) for tokens in mutants)
    assert not told & set(mutants)
    assert len(set(mutants)) == len(mutants)


def test_no_mutants_before_there_are_parents() -> None:
    """Until as many strings were trained as evolution keeps, the policy alone proposes."""
    plain, mixed = (PPO(SPACE, PPOSettings(mutant_share=share, hidden=8), seed=3) for share in (0.0, 0.5))
    asked = [controller.ask(PARENTS - 1) for controller in (plain, mixed)]
    assert asked[0] == asked[1]
    for controller in (plain, mixed):
        controller.tell([Outcome(p.id, p.tokens, "rejected") for p in asked[0]])
    assert plain.ask(20) == mixed.ask(20)


def test_the_share_of_mutants_is_what_was_asked_for() -> None:
    mutants, generator = Mutants(SPACE, PPOSettings(mutant_share=0.3), Recent(0)), torch.Generator().manual_seed(0)
    strings = random_strings(SPACE, PARENTS, generator)
    mutants.learn([Outcome(i, tuple(row.tolist()), "trained", i / PARENTS) for i, row in enumerate(strings)])
    count = len(mutants.draw(1_000, generator))
    assert 240 < count < 360  # binomial: 300, and four standard deviations of 14.5


def drawn_of(settings: PPOSettings, strings: Sequence[tuple[int, ...]], n: int) -> list[tuple[int, ...]]:
    """Return about `n` mutants of strings of which each earned more than the one before it."""
    mutants = Mutants(SPACE, settings, Recent(0))
    mutants.learn([Outcome(i, tokens, "trained", float(i)) for i, tokens in enumerate(strings)])
    generator = torch.Generator().manual_seed(0)
    one_by_one = [
        mutants.draw(1, generator) for _ in range(n)
    ]  # of several, those that repeat another are changed again
    return [tuple(row) for row in np.concatenate(one_by_one).tolist()]


def test_mutants_descend_from_the_newest_and_the_winner_of_many_is_the_best() -> None:
    strings = [tuple(row) for row in random_strings(SPACE, 20, torch.Generator().manual_seed(1)).tolist()]
    settings = PPOSettings(mutant_share=0.999, mutant_population=5, mutant_tournament=60)
    assert all(differing(tokens, strings[-1]) <= 2 for tokens in drawn_of(settings, strings, 30))
    settings = PPOSettings(mutant_share=0.999, mutant_population=5, mutant_tournament=1)
    several = drawn_of(settings, strings, 60)
    assert all(any(differing(tokens, parent) <= 2 for parent in strings[-5:]) for tokens in several)
    assert all(any(differing(tokens, parent) <= 2 for tokens in several) for parent in strings[-5:])


def test_crossed_mutants_have_tokens_of_two_parents() -> None:
    """Two parents that share no token where both may choose: a mutant of one alone has at most two of the other's."""
    settings = PPOSettings(mutant_share=0.999, mutant_population=2, mutant_tournament=1)
    parents = [(1, 2, 1, 1, 1, 1, 5, 1, 1, 1), (3, 4, 2, 2, 2, 5, 4, 2, 2, 2)]

    def mixed(crossover: float) -> int:
        drawn = drawn_of(replace(settings, mutant_crossover=crossover), parents, 100)
        return sum(min(10 - differing(t, p) for p in parents) > 2 for t in drawn)

    assert mixed(0.0) == 0
    assert mixed(1.0) > 20  # half the pairs are of one parent with itself


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_policy_that_draws_anew_hardly_repeats_itself(share: float) -> None:
    """A policy that was taught one first token repeats strings; where it draws anew, it says others while it has any."""

    def repeats(redraws: int) -> int:
        settings = PPOSettings(learning_rate=0.02, batch_size=10, hidden=8, redraws=redraws, mutant_population=20)
        controller = PPO(SPACE, replace(settings, mutant_share=share), seed=3)
        asked: list[tuple[int, ...]] = []
        for _ in range(40):
            proposals = controller.ask(10)
            asked += [p.tokens for p in proposals]
            controller.tell([Outcome(p.id, p.tokens, "trained", float(p.tokens[0] == 1)) for p in proposals])
        return len(asked) - len(set(asked))

    assert repeats(redraws=10) < 0.2 * repeats(redraws=0)


def test_the_policy_learns_mutants_with_its_own_probability_at_asking() -> None:
    """With the policy unchanged since asking, every ratio is 1, a mutant's too: nothing is clipped in the first epoch."""
    controller = PPO(SPACE, PPOSettings(mutant_share=0.5, hidden=8, epochs=1, batch_size=10), seed=3)
    for _ in range(6):
        proposals = controller.ask(10)
        controller.tell([Outcome(p.id, p.tokens, "trained", sum(p.tokens) / 100) for p in proposals])
        assert controller.metrics()["clipped_fraction"] == 0.0
