"""REINFORCE: one step along the gradient of the expected reward, for each batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from controllers.batches import Batch
from controllers.controller import Outcome, Proposal, TokenSpace
from controllers.learner import Learner
from controllers.settings import LearningSettings


@dataclass(frozen=True, kw_only=True)
class ReinforceSettings(LearningSettings):
    """The choices of REINFORCE; the defaults learn within hundreds of rules."""

    learning_rate: float = 1e-2
    """Adam's learning rate; larger than PPO's, since each batch gives one step"""


@final
class Reinforce:
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

    def __init__(self, space: TokenSpace, settings: ReinforceSettings | None = None, *, seed: int = 0) -> None:
        self.settings = ReinforceSettings() if settings is None else settings
        self._learner = Learner("reinforce", space, self.settings, seed)
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
        policy = self.policy
        advantages = self._learner.advantages(batch)
        allowed = policy.allowed(batch.tokens)
        log_pi, entropy = policy.evaluate(batch.tokens, allowed)
        loss = policy_gradient_loss(log_pi, advantages) - self.settings.entropy_weight * entropy.mean()
        measured = {"loss": loss.item(), "gradient_norm": self._learner.step(loss)}
        self._learner.finish(batch, allowed, measured)


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
