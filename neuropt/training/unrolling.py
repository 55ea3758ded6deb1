"""Steps of the learned optimizer with a network that is being trained.

    theta_t+1 = theta_t + 0.1 y_t,   (y_t, h, c) = LSTM(grad f(theta_t), h, c; phi)
    L(phi) = sum_t f(theta_t)

Gradients of gradients are dropped: grad f(theta_t) is a constant input. So dL/dphi = sum_t grad f(theta_t) dtheta_t/dphi, which is the
gradient of sum_t <grad f(theta_t), theta_t> with the first factor constant: one pass backward through the LSTM, none through f.

Source: Andrychowicz et al., "Learning to learn by gradient descent by gradient descent", NIPS 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neuropt.optimizers.lstm_network import Network, preprocess, run_network, start_state
from neuropt.training.optimizees import Optimizees

OUTPUT_SCALE = 0.1
"""The paper's factor of the network's output, and the default lr of `LSTMOptimizer`."""


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Some steps of all optimizees under a network.

    Args:
        losses: before each step and after the last, shape (steps + 1, count).
        surrogate: a scalar whose gradient with respect to the network is that of the sum over steps of the mean loss.
        theta, h, c: where they ended.
    """

    losses: Tensor
    surrogate: Tensor
    theta: Tensor
    h: Tensor
    c: Tensor


def unroll(
    network: Network, optimizees: Optimizees, theta: Tensor, h: Tensor, c: Tensor, first: int, steps: int
) -> Unrolled:
    """Let the network do steps `first` .. `first + steps - 1`.

    Args:
        network: whose weights may require gradients.
        optimizees: what is minimised.
        theta: where they are, shape (count, n).
        h, c: state of the network, shape (2, 20, count * n).
        first: number of the first step.
        steps: how many.
    """
    p = float(network["p"])
    losses, surrogate = [], torch.zeros(())
    for step in range(first, first + steps + 1):
        loss, g = loss_and_gradient(optimizees, theta, step)
        losses.append(loss)
        surrogate = surrogate + (g * theta).sum() / len(theta)
        if step < first + steps:
            y, h, c = run_network(network, preprocess(g.reshape(-1), p), h, c)
            theta = theta + OUTPUT_SCALE * y.reshape(theta.shape)
    return Unrolled(torch.stack(losses), surrogate, theta, h, c)


def loss_and_gradient(optimizees: Optimizees, theta: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Return each optimizee's loss and gradient at theta, as constants."""
    at = theta.detach().requires_grad_()
    with torch.enable_grad():
        loss = optimizees.losses(at, step)
        (g,) = torch.autograd.grad(loss.sum(), at)
    return loss.detach(), g


def trajectory(
    network: Network, optimizees: Optimizees, steps: int, length: int, learn: Callable[[Unrolled], None] | None = None
) -> Tensor:
    """Minimise from the start, `length` steps at a time.

    Args:
        network: moved by `learn`, if at all.
        optimizees: what is minimised.
        steps: of the whole trajectory.
        length: steps that gradients pass back through.
        learn: told of each part; what goes on from there is cut from its graph.

    Returns:
        the loss after each step, shape (steps, count).
    """
    theta = optimizees.start
    h = c = start_state((theta.numel(),), theta)
    losses = []
    with torch.set_grad_enabled(learn is not None):
        for first in range(0, steps, length):
            part = unroll(network, optimizees, theta, h, c, first, min(length, steps - first))
            if learn is not None:
                learn(part)
            theta, h, c = part.theta.detach(), part.h.detach(), part.c.detach()
            losses.append(part.losses[1:])
    return torch.cat(losses)
