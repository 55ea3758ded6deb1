"""REINFORCE: one step along the gradient of the expected reward, for each batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from controllers.controller import TokenSpace
from controllers.descent import Descent
from controllers.policy_gradient import Lesson, PolicyGradient
from controllers.settings import AdamSettings


@dataclass(frozen=True, kw_only=True)
class ReinforceSettings(AdamSettings):
    """The choices of REINFORCE; the defaults learn within hundreds of rules."""

    learning_rate: float = 1e-2
    """Adam's learning rate; larger than PPO's, since each batch gives one step"""


@final
class Reinforce(PolicyGradient):
    """Learns which tokens earn rewards by the likelihood-ratio gradient, Adam, and an entropy bonus.

    The gradient takes strings as if the present policy had drawn them; outcomes told many updates after asking make it biased (`PPO`
    weighs them by their ratio).

    Example:
        >>> controller = Reinforce(space, ReinforceSettings(batch_size=5, advantages="baseline"), seed=1)
        >>> proposals = controller.ask(5)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=0.5) for p in proposals])
        >>> controller.metrics()["updates"]
        1.0

    Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", 1992.
    """

    algorithm: ClassVar[str] = "reinforce"

    def __init__(self, space: TokenSpace, settings: ReinforceSettings | None = None, *, seed: int = 0) -> None:
        self.settings = ReinforceSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)
        self._descent = Descent(self.policy, self.settings)
        self._parts["adam"] = self._descent

    def _surrogate(self, log_pi: Tensor, lesson: Lesson) -> Tensor:
        return policy_gradient_loss(log_pi, lesson.advantages)

    def _improve(self, lesson: Lesson) -> dict[str, float]:
        loss, _ = self._loss(lesson)
        return {"loss": loss.item(), "gradient_norm": self._descent.step(loss)}


def policy_gradient_loss(log_pi: Tensor, advantages: Tensor) -> Tensor:
    """Make strings more probable in proportion to their advantages.

    L = -mean_i A_i log_pi_i,   so that -dL/dtheta = mean_i A_i d log pi(string_i) / dtheta

    Args:
        log_pi: log-probabilities of the strings under the policy, (batch,); carries the gradient.
        advantages: (batch,).

    Example:
        >>> policy_gradient_loss(torch.tensor([-1.0, -2.0]), advantages=torch.tensor([1.0, -1.0])).item()
        -0.5

    Source: Williams 1992, equation 4 (the episodic form).
    """
    if log_pi.ndim != 1 or log_pi.shape != advantages.shape:
        raise ValueError(
            f"log_pi and advantages must both be (batch,), but got {tuple(log_pi.shape)}, {tuple(advantages.shape)}."
        )
    return -(advantages * log_pi).mean()
