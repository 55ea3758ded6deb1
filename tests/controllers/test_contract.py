"""What every controller must do; a new one is a row in `CONTROLLERS`."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from controllers import (
    METRIC_MEANINGS,
    PPO,
    Controller,
    Outcome,
    PPOSettings,
    Proposal,
    RandomSearch,
    RandomSettings,
    Reinforce,
    ReinforceSettings,
    Status,
)
from tests.controllers.small_space import SmallSpace

Make = Callable[[int], Controller]  # seed -> controller

SPACE = SmallSpace(groups=2)
BATCH, LIMIT = 6, 40

CONTROLLERS: dict[str, Make] = {
    "random": lambda seed: RandomSearch(SPACE, RandomSettings(max_outstanding=LIMIT), seed=seed),
    "reinforce": lambda seed: Reinforce(
        SPACE, ReinforceSettings(batch_size=BATCH, max_outstanding=LIMIT, hidden=20, advantages="baseline"), seed=seed
    ),
    "ppo": lambda seed: PPO(SPACE, PPOSettings(batch_size=BATCH, max_outstanding=LIMIT, hidden=20), seed=seed),
    "ppo, z-score, skip": lambda seed: PPO(
        SPACE,
        PPOSettings(batch_size=BATCH, max_outstanding=LIMIT, hidden=20, advantages="z-score", duplicates="skip"),
        seed=seed,
    ),
}


@pytest.fixture(params=CONTROLLERS)
def make(request: pytest.FixtureRequest) -> Make:
    return CONTROLLERS[request.param]


def judge(proposal: Proposal) -> Outcome:
    """Give every kind of outcome, decided by the tokens alone."""
    total = sum(proposal.tokens)
    match total % 5:
        case 0:
            return Outcome(proposal.id, proposal.tokens, "duplicate", reward=total / 100)
        case 1:
            return Outcome(proposal.id, proposal.tokens, "rejected")
        case 2:
            return Outcome(proposal.id, proposal.tokens, "failed")
        case _:
            return Outcome(proposal.id, proposal.tokens, "trained", reward=total / 100)


def trained(proposals: list[Proposal], reward: float) -> list[Outcome]:
    return [Outcome(p.id, p.tokens, "trained", reward) for p in proposals]


def search(controller: Controller, rounds: int) -> list[Proposal]:
    """Ask more than is told, and tell late, backwards, and in pieces that are no batch."""
    asked: list[Proposal] = []
    for _ in range(rounds):
        proposals = controller.ask(5)
        asked += proposals
        controller.tell([judge(p) for p in reversed(proposals[1:4])])
        controller.tell([judge(proposals[0])])
    return asked


class TestContract:
    def test_tokens_are_allowed(self, make: Make) -> None:
        for proposal in search(make(1), rounds=10):
            prefixes = np.array([proposal.tokens])
            assert len(proposal.tokens) == len(SPACE.choices)
            for k, token in enumerate(proposal.tokens):
                assert SPACE.masks(prefixes[:, :k])[0, token]

    def test_ids_increase_from_0(self, make: Make) -> None:
        controller = make(1)
        assert [p.id for p in controller.ask(3) + controller.ask(0) + controller.ask(2)] == [0, 1, 2, 3, 4]

    def test_the_seed_determines_everything(self, make: Make) -> None:
        assert search(make(1), rounds=8) == search(make(1), rounds=8)
        assert search(make(1), rounds=8) != search(make(2), rounds=8)

    def test_global_generators_are_neither_read_nor_moved(self, make: Make) -> None:
        def global_states() -> tuple[list[int], object, str]:
            return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002  # the global one

        before = global_states()
        first = search(make(1), rounds=4)
        assert global_states() == before
        torch.manual_seed(99)
        assert search(make(1), rounds=4) == first

    def test_a_saved_state_continues_exactly(self, make: Make) -> None:
        original = make(1)
        late = original.ask(4)
        search(original, rounds=5)
        file = io.BytesIO()
        state = original.state_dict()
        torch.save(state, file)
        original.tell([judge(p) for p in late])
        expected = search(original, rounds=8)

        file.seek(0)
        for saved in (state, torch.load(file, weights_only=True)):
            resumed = make(2)
            search(resumed, rounds=3)
            resumed.load_state_dict(saved)
            resumed.tell([judge(p) for p in late])
            assert search(resumed, rounds=8) == expected
            assert resumed.metrics() == original.metrics()

    def test_a_state_of_another_controller_is_refused(self, make: Make) -> None:
        state = make(1).state_dict()
        others: dict[str, object] = {"algorithm": "alchemy", "choices": [2, 2], "settings": {}}
        for key, value in others.items():
            with pytest.raises(ValueError, match=f"another controller: {key} is"):
                make(1).load_state_dict({**state, key: value})

    def test_outcomes_may_come_in_any_order(self, make: Make) -> None:
        controller = make(1)
        proposals = controller.ask(4 * BATCH)
        order = np.random.default_rng(0).permutation(len(proposals))
        for i in order:
            controller.tell([judge(proposals[i])])
        assert len(controller.ask(3)) == 3

    def test_missing_outcomes_never_fill_the_memory(self, make: Make) -> None:
        controller = make(1)
        first, *_ = controller.ask(1)
        for _ in range(30):
            controller.tell([judge(p) for p in controller.ask(5)[:2]])
        pending = controller.state_dict()["pending"]
        assert isinstance(pending, dict)
        assert len(pending["ids"]) <= LIMIT
        with pytest.raises(ValueError, match=f"forgotten: only the newest {LIMIT} proposals"):
            controller.tell([judge(first)])

    def test_equal_rewards_are_learnt_without_harm(self, make: Make) -> None:
        controller = make(1)
        for _ in range(5):
            controller.tell(trained(controller.ask(BATCH), reward=0.5))
        assert all(math.isfinite(value) for value in controller.metrics().values())
        assert len({p.tokens for p in controller.ask(20)}) > 10

    @pytest.mark.parametrize("status", ["duplicate", "rejected", "failed"])
    def test_nothing_but_useless_rules_does_no_harm(self, make: Make, status: Status) -> None:
        controller = make(1)
        for _ in range(5):
            controller.tell([Outcome(p.id, p.tokens, status) for p in controller.ask(BATCH)])
        assert len({p.tokens for p in controller.ask(20)}) > 10

    def test_an_unknown_id_is_refused_and_nothing_is_learnt(self, make: Make) -> None:
        controller, untouched = make(1), make(1)
        proposals = controller.ask(BATCH)
        assert untouched.ask(BATCH) == proposals
        stranger = Outcome(99, proposals[0].tokens, "trained", reward=1.0)
        with pytest.raises(ValueError, match="Outcome 99 is unknown: only ids 0 to 5 were asked"):
            controller.tell([*trained(proposals, 0.5), stranger])
        controller.tell(trained(proposals, 0.5))
        untouched.tell(trained(proposals, 0.5))
        assert controller.ask(5) == untouched.ask(5)

    def test_an_outcome_told_twice_is_refused(self, make: Make) -> None:
        controller = make(1)
        outcome = judge(controller.ask(1)[0])
        with pytest.raises(ValueError, match="Outcome 0 is told twice"):
            controller.tell([outcome, outcome])
        controller.tell([outcome])
        with pytest.raises(ValueError, match="Outcome 0 is told twice"):
            controller.tell([outcome])

    def test_an_outcome_with_other_tokens_is_refused(self, make: Make) -> None:
        controller = make(1)
        proposal, *_ = controller.ask(1)
        with pytest.raises(ValueError, match="but proposal 0 was"):
            controller.tell([Outcome(0, (0, *proposal.tokens[:-1]), "rejected")])

    def test_a_negative_number_of_proposals_is_refused(self, make: Make) -> None:
        with pytest.raises(ValueError, match=r"ask\(n=-1\)"):
            make(1).ask(-1)

    def test_metrics_are_defined_and_describe_the_last_update(self, make: Make) -> None:
        controller = make(1)
        assert controller.metrics() == {}
        statuses: list[Status] = ["trained", "duplicate", "rejected", "failed"]
        while not controller.metrics():
            proposals = controller.ask(8)
            controller.tell([Outcome(p.id, p.tokens, statuses[i % 4], i / 10) for i, p in enumerate(proposals)])
        assert set(controller.metrics()) <= set(METRIC_MEANINGS)
        assert all(math.isfinite(value) for value in controller.metrics().values())
        assert 0 < controller.metrics()["duplicate_share"] <= controller.metrics()["invalid_share"] < 1


@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("status", ["trained", "duplicate"])
def test_a_reward_that_is_not_finite_is_refused(status: Status, reward: float) -> None:
    with pytest.raises(ValueError, match=rf"Outcome\(reward={reward}\) of proposal 7: a reward must be finite"):
        Outcome(7, (0, 1), status, reward)


def test_a_trained_rule_needs_a_reward() -> None:
    with pytest.raises(ValueError, match="a trained rule needs a reward"):
        Outcome(7, (0, 1), "trained")


def test_an_unknown_status_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'lost'.* must be one of trained, duplicate, rejected, failed"):
        Outcome(7, (0, 1), "lost")  # type: ignore[arg-type]  # the point of the test
