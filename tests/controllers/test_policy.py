from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from controllers import Outcome, Policy, create_controller
from tests.controllers.small_space import PLUS, SmallSpace

# float32 sums of at most ten logarithms, in another order
TOLERANCE = 1e-5


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every_string(space: SmallSpace) -> NDArray[np.int64]:
    return np.array(list(itertools.product(*(range(n) for n in space.choices))))


def test_all_strings_together_have_probability_1_and_masked_ones_exactly_0() -> None:
    space = SmallSpace(groups=1)
    policy = Policy(space, seeded(1), initial_range=1.0)
    strings = every_string(space)
    log_probability = policy.evaluate(strings)[0].detach()
    forbidden = (strings[:, 0] == strings[:, 1]) | (strings[:, 4] == PLUS)
    probability = log_probability.exp()
    assert torch.equal(probability == 0.0, torch.from_numpy(forbidden))
    assert float(probability.sum()) == pytest.approx(1.0, abs=TOLERANCE)


def test_every_masked_token_has_probability_exactly_0() -> None:
    space = SmallSpace(groups=3)
    policy = Policy(space, seeded(2))
    tokens, _ = policy.sample(50, seeded(3))
    allowed = policy.allowed(tokens)
    probability = policy.log_probabilities(torch.from_numpy(tokens), allowed).exp()
    assert bool((probability[~allowed] == 0.0).all())
    assert bool((probability[allowed] > 0.0).all())


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_sample_and_evaluate_agree(groups: int) -> None:
    policy = Policy(SmallSpace(groups), seeded(4), initial_range=0.5)
    tokens, log_probability = policy.sample(64, seeded(5))
    again, _ = policy.evaluate(tokens)
    assert torch.allclose(again, log_probability, atol=groups * TOLERANCE)


def test_samples_follow_the_probabilities() -> None:
    space = SmallSpace(groups=1)
    policy = Policy(space, seeded(6), initial_range=0.7)
    strings = every_string(space)
    expected = policy.evaluate(strings)[0].exp().detach().numpy()
    draws = 20_000
    tokens, _ = policy.sample(draws, seeded(7))
    counts = np.bincount(np.ravel_multi_index(tuple(tokens.T), space.choices), minlength=len(strings))
    # chi-square over the 360 possible strings: mean 359, standard deviation sqrt(2 * 359) = 27; 5 of them are enough
    possible = expected > 0
    chi_square = ((counts - draws * expected)[possible] ** 2 / (draws * expected[possible])).sum()
    assert possible.sum() == 360
    assert chi_square < 359 + 5 * 27


def test_without_weights_the_policy_is_uniform_over_allowed_tokens() -> None:
    policy = Policy(SmallSpace(groups=1), seeded(8))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    # 5 operands, 4 that differ from the first, 3 and 3 unary, 2 binary that are not +
    log_probability, entropy = policy.evaluate(np.array([[0, 1, 2, 0, 1]]))
    assert log_probability.item() == pytest.approx(-math.log(5 * 4 * 3 * 3 * 2), abs=TOLERANCE)
    assert entropy.item() == pytest.approx(math.log(5 * 4 * 3 * 3 * 2), abs=TOLERANCE)


def test_gradients_are_finite_under_masks() -> None:
    policy = Policy(SmallSpace(groups=2), seeded(9))
    tokens, _ = policy.sample(20, seeded(10))
    log_probability, entropy = policy.evaluate(tokens)
    gradients = torch.autograd.grad(log_probability.sum() + entropy.sum(), list(policy.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_weights_begin_uniform_in_the_stated_range() -> None:
    policy = Policy(SmallSpace(), seeded(11))
    weights = torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])
    assert policy.lstm.hidden_size == 150
    assert float(weights.abs().max()) < 0.08
    # a uniform distribution on (-a, a) has standard deviation a / sqrt(3)
    assert float(weights.std()) == pytest.approx(0.08 / math.sqrt(3), rel=0.01)


def test_nothing_is_sampled_when_nothing_is_asked() -> None:
    tokens, log_probability = Policy(SmallSpace(), seeded(12)).sample(0, seeded(13))
    assert tokens.shape == (0, 5)
    assert log_probability.shape == (0,)


class DeadEnd(SmallSpace):
    def masks(self, prefixes: NDArray[np.int64]) -> NDArray[np.bool_]:
        allowed = super().masks(prefixes)
        return np.zeros_like(allowed) if prefixes.shape[1] == 2 else allowed


def test_a_space_without_a_way_on_is_reported_with_the_prefix() -> None:
    with pytest.raises(ValueError, match=r"no token at position 2 after the prefix \[\d, \d\]"):
        Policy(DeadEnd(), seeded(14)).sample(3, seeded(15))


def test_damaged_weights_are_reported() -> None:
    policy = Policy(SmallSpace(), seeded(16))
    with torch.no_grad():
        policy.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="weights are not finite"):
        policy.sample(3, seeded(17))


@pytest.mark.parametrize(
    ("name", "breaks"), [("ppo", {"learning_rate": 1e300}), ("reinforce", {"learning_rate": 1e300}), ("trpo", {})]
)
def test_a_policy_that_breaks_says_why_as_a_value_error(name: str, breaks: dict[str, object]) -> None:
    """A learning rate beyond sense, and where there is none, a reward whose float32 is infinite: the caller's mistakes, not bugs."""
    settings = {"batch_size": 4, "hidden": 8, "advantages": "baseline"} | breaks
    controller = create_controller(name, SmallSpace(), 1, settings)

    def learn(batches: int, reward: float) -> None:
        for _ in range(batches):
            controller.tell([Outcome(p.id, p.tokens, "trained", p.id % 4 * reward) for p in controller.ask(4)])

    with pytest.raises(ValueError, match="not finite: the learning rate is too large, a reward is beyond float32"):
        learn(batches=3, reward=1.0 if breaks else 1e300)
