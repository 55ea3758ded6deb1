"""Risk-seeking updates and the priority queue."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from controllers import PPO, TRPO, Outcome, PPOSettings, Reinforce, ReinforceSettings, TRPOSettings, risk_seeking
from controllers.priority_queue import PriorityQueue
from tests.controllers.small_space import SmallSpace

SPACE = SmallSpace(groups=2)


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
