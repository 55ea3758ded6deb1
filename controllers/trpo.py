"""Trust region policy optimisation: the longest useful step within a bound on how much the policy may change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from controllers.checks import require
from controllers.conjugate_gradients import conjugate_gradients
from controllers.controller import TokenSpace
from controllers.policy import NOT_FINITE
from controllers.policy_gradient import Lesson, PolicyGradient, likelihood_ratio
from controllers.settings import PolicySettings


@dataclass(frozen=True, kw_only=True)
class TRPOSettings(PolicySettings):
    """The choices of TRPO; the defaults learn within hundreds of rules. The bound, not a learning rate, decides how long a step is."""

    kl_bound: float = 0.3
    """how far an update may move the policy: KL of whole strings (nats), mean over the batch"""
    iterations: int = 5
    """products with the Fisher matrix that an update may take"""
    damping: float = 0.1
    """share of the identity added to the Fisher matrix, which a batch of strings leaves singular"""
    backtracks: int = 10
    """times a step may be shortened before the update is given up"""
    backtrack: float = 0.8
    """factor by which it is shortened"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "kl_bound", 0.0 < self.kl_bound < math.inf, "a positive number")
        require(self, "iterations", self.iterations >= 1, "a whole number of at least 1")
        require(self, "damping", 0.0 < self.damping < math.inf, "a positive number")
        require(self, "backtracks", self.backtracks >= 0, "0 or a positive whole number")
        require(self, "backtrack", 0.0 < self.backtrack < 1.0, "in (0, 1)")


@final
class TRPO(PolicyGradient):
    """Learns which tokens earn rewards by natural gradient steps, each as long as the bound on the KL divergence allows.

    step = sqrt(2 kl_bound / (x H x)) x,   H x = -dL/dtheta by conjugate gradients,   H = F + damping I

    F, the Fisher matrix, is the second derivative of KL(policy before, policy) at the policy before. The step is shortened until the loss
    falls and the KL divergence itself keeps the bound.

    Example:
        >>> controller = TRPO(space, TRPOSettings(batch_size=5), seed=1)
        >>> proposals = controller.ask(5)
        >>> controller.tell([Outcome(p.id, p.tokens, "trained", reward=p.id / 5) for p in proposals])
        >>> controller.metrics()["kl"] <= 0.3
        True

    Source: Schulman, Levine, Moritz, Jordan, Abbeel, "Trust region policy optimization", arXiv:1502.05477, appendix C.
    """

    algorithm: ClassVar[str] = "trpo"

    def __init__(self, space: TokenSpace, settings: TRPOSettings | None = None, *, seed: int = 0) -> None:
        self.settings = TRPOSettings() if settings is None else settings
        super().__init__(space, self.settings, seed)

    def _surrogate(self, log_pi: Tensor, lesson: Lesson) -> Tensor:
        return surrogate_loss(log_pi, lesson.log_pi_asked, lesson.advantages)

    def _improve(self, lesson: Lesson) -> dict[str, float]:
        parameters = list(self.policy.parameters())
        loss, _ = self._loss(lesson)
        gradient = _flat(torch.autograd.grad(loss, parameters))
        if not torch.isfinite(gradient).all():
            raise ValueError(f"The policy's gradient is {NOT_FINITE}")
        before = self._whole(lesson).detach()
        fisher = fisher_product(self._kl(lesson, before), parameters)

        def product(v: Tensor) -> Tensor:
            return fisher(v) + self.settings.damping * v

        x = conjugate_gradients(product, -gradient, self.settings.iterations)
        length = torch.sqrt(2 * self.settings.kl_bound / (x @ product(x)).clamp_min(1e-20))
        share, kl = self._search_line(lesson, before, loss.item(), length * x)
        return {"loss": loss.item(), "gradient_norm": float(gradient.norm()), "kl": kl, "step_share": share}

    def _whole(self, lesson: Lesson) -> Tensor:
        """Return whole distributions along the strings of the batch; what a queue repeats is not what the policy proposes."""
        n = lesson.size
        return self.policy.log_probabilities(torch.from_numpy(lesson.tokens[:n]), lesson.allowed[:n])

    def _kl(self, lesson: Lesson, before: Tensor) -> Tensor:
        return kl_divergence(before, self._whole(lesson))

    @torch.no_grad()
    def _search_line(self, lesson: Lesson, before: Tensor, loss: float, step: Tensor) -> tuple[float, float]:
        """Take the longest share of the step that lowers the loss within the bound; return it and its KL divergence, or 0 and 0."""
        start = _flat(list(self.policy.parameters()))
        share = 1.0
        for _ in range(self.settings.backtracks + 1):
            vector_to_parameters(start + share * step, self.policy.parameters())
            kl = float(self._kl(lesson, before))
            if self._loss(lesson)[0].item() < loss and kl <= self.settings.kl_bound:
                return share, kl
            share *= self.settings.backtrack
        vector_to_parameters(start, self.policy.parameters())
        return 0.0, 0.0


def fisher_product(kl: Tensor, parameters: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return v -> F v, F the second derivative of a KL divergence, by differentiating its gradient times v.

    Args:
        kl: KL(policy before, policy) with the policy at the one before; carries the gradient.
        parameters: of the policy; v holds them one behind the other.
    """
    slope = _flat(torch.autograd.grad(kl, parameters, create_graph=True))

    def product(v: Tensor) -> Tensor:
        return _flat(torch.autograd.grad(slope @ v, parameters, retain_graph=True))

    return product


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Lay tensors one behind the other, in the order in which torch's `vector_to_parameters` takes them apart."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def surrogate_loss(log_pi: Tensor, log_pi_asked: Tensor, advantages: Tensor) -> Tensor:
    """Estimate minus the advantage of the policy from strings that an earlier one proposed.

    L = -mean_i ratio_i A_i,   ratio_i = exp(log_pi_i - log_pi_asked_i)

    Args:
        log_pi: log-probabilities under the policy now, (batch,); carries the gradient.
        log_pi_asked: log-probabilities when the strings were proposed, (batch,).
        advantages: (batch,).

    Example:
        >>> surrogate_loss(torch.tensor([0.0]), torch.tensor([0.5]).log(), advantages=torch.tensor([1.0])).item()  # the ratio is 2
        -2.0

    Source: Schulman et al., arXiv:1502.05477, equation 14.
    """
    return -(likelihood_ratio(log_pi, log_pi_asked, advantages) * advantages).mean()


def kl_divergence(before: Tensor, now: Tensor) -> Tensor:
    """Measure how far the policy moved: KL of whole strings in nats, estimated along the given ones, with every token at each position.

    KL = mean_i sum_k sum_a p(a | prefix_ik) log(p(a | prefix_ik) / q(a | prefix_ik)),   p before, q now

    Args:
        before: log-probabilities (batch, length, widest), -inf where masked.
        now: likewise; carries the gradient.

    Example:
        >>> half, quarter = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.25, 0.75]]]).log()
        >>> round(kl_divergence(half, quarter).item(), 4)  # .5 ln 2 + .5 ln(2 / 3)
        0.1438
    """
    masked = before.isneginf()
    difference = before.masked_fill(masked, 0.0) - now.masked_fill(masked, 0.0)
    return (before.exp() * difference).sum(dim=(1, 2)).mean()
