"""Proximal policy optimisation: several steps on one batch, held near the policy that proposed it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from controllers.checks import require
from controllers.controller import TokenSpace
from controllers.descent import Descent
from controllers.policy_gradient import Lesson, PolicyGradient, likelihood_ratio
from controllers.settings import AdamSettings


@dataclass(frozen=True, kw_only=True)
class PPOSettings(AdamSettings):
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
class PPO(PolicyGradient):
    """Learns which tokens earn rewards by the clipped surrogate, Adam, and an entropy bonus.

    Example:
        >>> controller = PPO(space, PPOSettings(batch_size=5), seed=1)
        >>> proposals = controller.ask(5)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=0.5) for p in proposals])
        >>> controller.metrics()["updates"]
        1.0

    Source: Schulman, Wolski, Dhariwal, Radford, Klimov, "Proximal policy optimization algorithms", arXiv:1707.06347.
    """

    algorithm: ClassVar[str] = "ppo"

    def __init__(self, space: TokenSpace, settings: PPOSettings | None = None, *, seed: int = 0) -> None:
        self.settings = PPOSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)
        self._descent = Descent(self.policy, self.settings)
        self._parts["adam"] = self._descent

    def _surrogate(self, log_pi: Tensor, lesson: Lesson) -> Tensor:
        return clipped_surrogate_loss(log_pi, lesson.log_pi_asked, lesson.advantages, self.settings.clip)

    def _improve(self, lesson: Lesson) -> dict[str, float]:
        measured: dict[str, float] = {}
        for _ in range(self.settings.epochs):
            loss, log_pi = self._loss(lesson)
            measured = {
                "loss": loss.item(),
                "gradient_norm": self._descent.step(loss),
                "clipped_fraction": clipped_fraction(log_pi, lesson.log_pi_asked, self.settings.clip),
            }
        return measured


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
    ratio = likelihood_ratio(log_pi, log_pi_asked, advantages)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def clipped_fraction(log_pi: Tensor, log_pi_asked: Tensor, clip: float) -> float:
    """Measure the share of strings whose ratio lies outside [1 - clip, 1 + clip]."""
    ratio = (log_pi - log_pi_asked).exp()
    return float(((ratio - 1).abs() > clip).double().mean())
