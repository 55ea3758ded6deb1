from __future__ import annotations

import pytest
import torch

from controllers import clipped_surrogate_loss, policy_gradient_loss
from controllers.policy_gradient import approximate_kl
from controllers.ppo import clipped_fraction


def test_clipped_surrogate_and_its_gradient() -> None:
    # ratio  A    min(ratio A, clamp(ratio, .8, 1.2) A)    d/dlog_pi (= ratio A where the first is the smaller, else 0)
    #  1.5   1    min( 1.5,  1.2) =  1.2                    0    good, already more probable: no further
    #  0.5  -1    min(-0.5, -0.8) = -0.8                    0    bad, already less probable: no further
    #  1.5  -1    min(-1.5, -1.2) = -1.5                   -1.5  bad and more probable: back, however far
    #  1.1   2    min( 2.2,  2.2) =  2.2                    2.2  within the clip
    # loss = -(1.2 - .8 - 1.5 + 2.2) / 4 = -0.275;  gradient = -(0, 0, -1.5, 2.2) / 4
    asked = torch.tensor([-1.0, -2.0, -3.0, -4.0])
    log_pi = (asked + torch.tensor([1.5, 0.5, 1.5, 1.1]).log()).requires_grad_()
    loss = clipped_surrogate_loss(log_pi, asked, torch.tensor([1.0, -1.0, -1.0, 2.0]), clip=0.2)
    (gradient,) = torch.autograd.grad(loss, log_pi)
    assert loss.item() == pytest.approx(-0.275, abs=1e-6)
    assert gradient.tolist() == pytest.approx([0.0, 0.0, 0.375, -0.55], abs=1e-6)


def test_clipped_surrogate_stays_finite_for_very_old_proposals() -> None:
    log_pi = torch.tensor([0.0, 0.0], requires_grad=True)
    loss = clipped_surrogate_loss(log_pi, torch.tensor([-200.0, -200.0]), torch.tensor([-1.0, 1.0]), clip=0.2)
    (gradient,) = torch.autograd.grad(loss, log_pi)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_policy_gradient_and_its_gradient() -> None:
    # -(1 * -1 + -1 * -2 + .5 * -3) / 3 = .5 / 3;  gradient -A / 3
    log_pi = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    loss = policy_gradient_loss(log_pi, torch.tensor([1.0, -1.0, 0.5]))
    (gradient,) = torch.autograd.grad(loss, log_pi)
    assert loss.item() == pytest.approx(0.5 / 3)
    assert gradient.tolist() == pytest.approx([-1 / 3, 1 / 3, -0.5 / 3])


def test_at_the_asking_policy_both_losses_have_one_gradient() -> None:
    log_pi, advantages = torch.tensor([-1.0, -2.0], requires_grad=True), torch.tensor([2.0, -1.0])
    surrogate = clipped_surrogate_loss(log_pi, log_pi.detach(), advantages, clip=0.2)
    reinforce = policy_gradient_loss(log_pi, advantages)
    assert torch.equal(*torch.autograd.grad(surrogate, log_pi), *torch.autograd.grad(reinforce, log_pi))


def test_approximate_kl() -> None:
    # ratio 2: (2 - 1) - ln 2 = .3068528; ratio 1/2: -1/2 + ln 2 = .1931472; mean 1/4
    assert approximate_kl(torch.tensor([2.0, 0.5]).log(), torch.zeros(2)) == pytest.approx(0.25)


def test_clipped_fraction() -> None:
    # of the ratios 1, 1.1, .7 and 2 the last two lie outside [.8, 1.2]
    assert clipped_fraction(torch.tensor([1.0, 1.1, 0.7, 2.0]).log(), torch.zeros(4), clip=0.2) == 0.5


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must all be \(batch,\), but got \(2,\), \(3,\), \(2,\)"):
        clipped_surrogate_loss(torch.zeros(2), torch.zeros(3), torch.zeros(2), clip=0.2)
    with pytest.raises(ValueError, match=r"must both be \(batch,\), but got \(2, 1\), \(2,\)"):
        policy_gradient_loss(torch.zeros(2, 1), torch.zeros(2))
