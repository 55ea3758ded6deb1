"""Trust region policy optimisation, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from controllers import TRPO, Outcome, Policy, TRPOSettings, kl_divergence, surrogate_loss
from controllers.conjugate_gradients import conjugate_gradients
from controllers.trpo import fisher_product
from tests.controllers.small_space import SmallSpace


def settings(**changes: float) -> TRPOSettings:
    return TRPOSettings(batch_size=8, hidden=8, embedding=4, **changes)  # type: ignore[arg-type]  # whole numbers among them


def told(controller: TRPO, rewards: list[float]) -> dict[str, float]:
    proposals = controller.ask(len(rewards))
    controller.tell([Outcome(p.id, p.tokens, "trained", r) for p, r in zip(proposals, rewards, strict=True)])
    return controller.metrics()


def test_conjugate_gradients_solve_a_positive_definite_system() -> None:
    root = torch.randn(12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = root @ root.T + torch.eye(12, dtype=torch.float64)
    b = torch.arange(12.0, dtype=torch.float64)
    x = conjugate_gradients(lambda p: a @ p, b, iterations=50)
    assert torch.allclose(x, torch.linalg.solve(a, b), rtol=1e-5, atol=1e-6)  # the squared residual ends at 1e-10


def test_one_iteration_is_steepest_descent() -> None:
    # alpha = b b / (b A b) = 5 / (2 * 1 + 4 * 4) = 5 / 18
    a, b = torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([1.0, 2.0])
    assert conjugate_gradients(lambda p: a @ p, b, iterations=1).tolist() == pytest.approx([5 / 18, 10 / 18])


def test_no_gradient_needs_no_step() -> None:
    assert conjugate_gradients(lambda p: p, torch.zeros(3), iterations=5).tolist() == [0.0, 0.0, 0.0]


def test_kl_divergence() -> None:
    # position 1: .5 ln(.5/.25) + .5 ln(.5/.75) = .34657 - .20273 = .14384; position 2, one allowed token: 0
    # second string: the same distributions, 0; mean .07192
    one = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    before = torch.stack([one, one]).log()
    now = torch.stack([torch.tensor([[0.25, 0.75], [1.0, 0.0]]), one]).log()
    assert kl_divergence(before, now).item() == pytest.approx(0.0719205, abs=1e-6)


def test_surrogate_and_its_gradient() -> None:
    # ratios 2 and .5: -(2 * 1 + .5 * -2) / 2 = -.5;  gradient -ratio A / 2
    asked = torch.tensor([-1.0, -2.0])
    log_pi = (asked + torch.tensor([2.0, 0.5]).log()).requires_grad_()
    loss = surrogate_loss(log_pi, asked, torch.tensor([1.0, -2.0]))
    (gradient,) = torch.autograd.grad(loss, log_pi)
    assert loss.item() == pytest.approx(-0.5)
    assert gradient.tolist() == pytest.approx([-1.0, 0.5])


def test_the_fisher_product_is_that_of_the_covariance_of_the_scores() -> None:
    # E[score score^T] over all strings; without weights in the softmaxes all 6 are equally probable, so that each prefix among the
    # strings counts as often as it occurs, as in the divergence; the biases and the weights of the softmaxes have scores all the same
    policy = Policy(SmallSpace(operands=3, unary=1, binary=2), torch.Generator().manual_seed(1), hidden=3, embedding=2)
    with torch.no_grad():
        policy.head.zero_()
        policy.bias.zero_()
        for weights in (policy.embedding.weight, *policy.lstm.parameters()):
            weights.mul_(20.0)  # so that the hidden states differ
    strings = np.array([(a, b, 0, 0, 1) for a in range(3) for b in range(3) if a != b])
    allowed, parameters = policy.allowed(strings), list(policy.parameters())
    log_pi, _ = policy.evaluate(strings, allowed)
    assert log_pi.exp().tolist() == pytest.approx([1 / 6] * 6)
    scores = [torch.autograd.grad(p, parameters, retain_graph=True) for p in log_pi]
    rows = torch.stack([torch.cat([part.reshape(-1) for part in score]) for score in scores])
    v = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(3))

    now = policy.log_probabilities(torch.from_numpy(strings), allowed)
    product = fisher_product(kl_divergence(now.detach(), now), parameters)(v)
    assert product.norm() > 0.1
    assert torch.allclose(product, rows.T @ (rows @ v) / 6, atol=1e-5)


@pytest.mark.parametrize(("bound", "queue"), [(0.001, 0), (0.05, 0), (1.0, 0), (0.05, 5)])
def test_the_bound_is_kept_and_used(bound: float, queue: int) -> None:
    """Over the strings of the batch: what a priority queue repeats besides does not count. Weights so large make strings differ."""
    controller = TRPO(SmallSpace(groups=2), settings(kl_bound=bound, queue_size=queue, initial_range=1.0), seed=1)
    before = Policy(SmallSpace(groups=2), torch.Generator(), hidden=8, embedding=4)
    before.load_state_dict(controller.policy.state_dict())
    proposals = controller.ask(8)
    controller.tell([Outcome(p.id, p.tokens, "trained", reward=float(p.id)) for p in proposals])
    tokens = np.array([p.tokens for p in proposals])
    allowed = before.allowed(tokens)
    given = torch.from_numpy(tokens)
    kl = kl_divergence(before.log_probabilities(given, allowed), controller.policy.log_probabilities(given, allowed))
    assert kl.item() == pytest.approx(controller.metrics()["kl"], rel=1e-3)
    assert 0.3 * bound < kl.item() <= bound


def test_the_loss_falls_and_the_best_string_gains_most() -> None:
    controller = TRPO(SmallSpace(groups=2), settings(), seed=1)
    untouched = TRPO(SmallSpace(groups=2), settings(), seed=1)
    proposals = controller.ask(8)
    controller.tell([Outcome(p.id, p.tokens, "trained", reward=float(p.id)) for p in proposals])
    tokens = np.array([p.tokens for p in proposals])
    change = controller.policy.evaluate(tokens)[0] - untouched.policy.evaluate(tokens)[0]
    assert change.argmax().item() == 7


REWARDS = [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6]


def test_a_step_that_leaves_the_bound_is_shortened() -> None:
    # with so little damping the step is long where eight strings say nothing of the divergence
    metrics = told(TRPO(SmallSpace(groups=2), settings(damping=1e-4), seed=1), REWARDS)
    assert metrics["step_share"] == pytest.approx(0.8)
    assert 0.0 < metrics["kl"] <= 0.3


def test_an_update_that_may_not_shorten_its_step_is_given_up() -> None:
    controller = TRPO(SmallSpace(groups=2), settings(damping=1e-4, backtracks=0), seed=1)
    start = {name: weights.clone() for name, weights in controller.policy.state_dict().items()}
    metrics = told(controller, REWARDS)
    assert (metrics["kl"], metrics["step_share"]) == (0.0, 0.0)
    for name, weights in controller.policy.state_dict().items():
        assert torch.equal(weights, start[name])
    assert metrics["updates"] == 1.0
