"""Proximal policy optimisation: several steps on one batch, held near the policy that proposed it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from controllers.batches import Batch
from controllers.checks import require
from controllers.controller import Outcome, Proposal, TokenSpace
from controllers.learner import Learner
from controllers.settings import LearningSettings

MAX_LOG_RATIO = 20.0


@dataclass(frozen=True, kw_only=True)
class PPOSettings(LearningSettings):
    """The choices of PPO; the defaults learn within hundreds of rules."""

    learning_rate: float = 3e-3
    """Adam's learning rate; the paper's 1e-5 does nothing in fewer than tens of thousands of rules"""
    epochs: int = 4
    """gradient steps on each batch"""
    clip: float = 0.2
    """how far the probability of a string may move from that at asking before its gradient stops: ratio in [1 - clip, 1 + clip]"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "epochs", self.epochs >= 1, "a whole number of at least 1")
        require(self, "clip", 0.0 < self.clip < math.inf, "a positive number")


@final
class PPO:
    """Learns which tokens earn rewards by the clipped surrogate, Adam, and an entropy bonus.

    Example:
        >>> controller = PPO(space, PPOSettings(batch_size=5), seed=1)
        >>> proposals = controller.ask(5)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=0.5) for p in proposals])
        >>> controller.metrics()["updates"]
        1.0

    Source: Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal policy optimization algorithms", arXiv:1707.06347.
    """

    def __init__(self, space: TokenSpace, settings: PPOSettings | None = None, *, seed: int = 0) -> None:
        self.settings = PPOSettings() if settings is None else settings
        self._learner = Learner("ppo", space, self.settings, seed)
        self.policy = self._learner.policy

    def ask(self, n: int) -> list[Proposal]:
        """Sample `n` proposals from the policy."""
        return self._learner.ask(n)

    def tell(self, outcomes: list[Outcome]) -> None:
        """Collect outcomes; update once for each batch that they complete."""
        for batch in self._learner.collect(outcomes):
            self._update(batch)

    def metrics(self) -> dict[str, float]:
        """Report the last update."""
        return dict(self._learner.metrics)

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future."""
        return self._learner.state_dict()

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self._learner.load_state_dict(state)

    def _update(self, batch: Batch) -> None:
        settings, policy = self.settings, self.policy
        advantages = self._learner.advantages(batch)
        allowed = policy.allowed(batch.tokens)
        measured: dict[str, float] = {}
        for _ in range(settings.epochs):
            log_pi, entropy = policy.evaluate(batch.tokens, allowed)
            surrogate = clipped_surrogate_loss(log_pi, batch.log_pi_asked, advantages, settings.clip)
            loss = surrogate - settings.entropy_weight * entropy.mean()
            measured = {
                "loss": loss.item(),
                "gradient_norm": self._learner.step(loss),
                "clipped_fraction": clipped_fraction(log_pi, batch.log_pi_asked, settings.clip),
            }
        self._learner.finish(batch, allowed, measured)


def clipped_surrogate_loss(log_pi: Tensor, log_pi_asked: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Reward more probable good strings, only as far as the clip.

    L = -mean_i min(ratio_i A_i, clamp(ratio_i, 1 - clip, 1 + clip) A_i),   ratio_i = exp(log_pi_i - log_pi_asked_i)

    A string is one action: its ratio is that of whole strings, since the reward is for the whole. Only `log_pi` carries a gradient.

    Args:
        log_pi: log-probabilities under the policy now, (batch,).
        log_pi_asked: log-probabilities when the strings were proposed, (batch,).
        advantages: (batch,).

    Example:
        >>> half, one = torch.tensor([0.5]).log(), torch.tensor([1.0])
        >>> round(clipped_surrogate_loss(torch.log(one), half, advantages=one, clip=0.2).item(), 4)  # the ratio 2 counts as 1.2
        -1.2

    Source: Schulman et al., arXiv:1707.06347, equation 7.
    """
    _check_shapes(log_pi, log_pi_asked, advantages)
    # a string asked many updates ago may have become e^90 times as probable: infinite in float32, and then NaN in every weight
    ratio = (log_pi - log_pi_asked).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def clipped_fraction(log_pi: Tensor, log_pi_asked: Tensor, clip: float) -> float:
    """Measure the share of strings whose ratio lies outside [1 - clip, 1 + clip]."""
    ratio = (log_pi - log_pi_asked).exp()
    return float(((ratio - 1).abs() > clip).double().mean())


def _check_shapes(log_pi: Tensor, log_pi_asked: Tensor, advantages: Tensor) -> None:
    if log_pi.ndim != 1 or not log_pi.shape == log_pi_asked.shape == advantages.shape:
        shapes = f"{tuple(log_pi.shape)}, {tuple(log_pi_asked.shape)}, {tuple(advantages.shape)}"
        raise ValueError(f"log_pi, log_pi_asked and advantages must all be (batch,), but got {shapes}.")
