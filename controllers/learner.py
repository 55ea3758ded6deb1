"""What every controller that trains the LSTM policy has in common; the algorithms (`reinforce`, `ppo`) hold one and say how to update."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor

from controllers.advantages import compute_advantages, moving_baseline
from controllers.batches import Batch, BatchBuffer
from controllers.checks import check_count, check_origin
from controllers.controller import Outcome, Proposal, TokenSpace
from controllers.pending import Pending
from controllers.policy import Policy
from controllers.settings import LearningSettings


class Learner:
    """The policy, its Adam, its random generator, the proposals that wait and the outcomes collected.

    Args:
        algorithm: the name under which its state is saved.
    """

    def __init__(self, algorithm: str, space: TokenSpace, settings: LearningSettings, seed: int) -> None:
        self._algorithm, self._space, self._settings = algorithm, space, settings
        self._generator = torch.Generator().manual_seed(seed)
        self.policy = Policy(
            space,
            self._generator,
            hidden=settings.hidden,
            embedding=settings.embedding,
            initial_range=settings.initial_range,
        )
        self._adam = torch.optim.Adam(self.policy.parameters(), lr=settings.learning_rate, fused=True)
        self._pending = Pending(settings.max_outstanding)
        self._buffer = BatchBuffer(settings.batch_size, settings.duplicates, settings.worst_reward)
        self._baseline: float | None = None
        self._updates = 0
        self.metrics: dict[str, float] = {}

    def ask(self, n: int) -> list[Proposal]:
        """Sample `n` proposals from the policy."""
        check_count(n)
        tokens, log_pi = self.policy.sample(n, self._generator)
        return self._pending.add(tokens, log_pi.tolist())

    def collect(self, outcomes: list[Outcome]) -> list[Batch]:
        """Take outcomes in; return the batches that they complete."""
        return self._buffer.add(outcomes, self._pending.take(outcomes))

    def advantages(self, batch: Batch) -> Tensor:
        """Compute the batch's advantages against the baseline of the batches before it: float32 (batch,)."""
        baseline = self._baseline_before(batch)
        return compute_advantages(self._settings.advantages, batch.rewards, baseline).float()

    def step(self, loss: Tensor) -> float:
        """Take one step of Adam down the clipped gradient; return the norm before clipping.

        Raises:
            RuntimeError: if the gradient is not finite; the weights are kept.
        """
        self._adam.zero_grad()
        loss.backward()
        parameters = list(self.policy.parameters())
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._settings.gradient_clip, error_if_nonfinite=True)
        self._adam.step()
        return float(norm)

    def finish(self, batch: Batch, allowed: Tensor, measured: dict[str, float]) -> None:
        """Close an update: move the baseline, and record the metrics beside those that the algorithm measured."""
        with torch.no_grad():
            log_pi, entropy = self.policy.evaluate(batch.tokens, allowed)
        baseline = self._baseline_before(batch)
        self._updates += 1
        self._baseline = moving_baseline(self._baseline, batch.rewards, self._settings.baseline_decay)
        self.metrics = {
            "updates": float(self._updates),
            "mean_reward": float(batch.rewards.mean()),
            "duplicate_share": batch.duplicate_share,
            "invalid_share": batch.invalid_share,
            "baseline": baseline,
            "baseline_error": float((batch.rewards - baseline).abs().mean()),
            "entropy": float(entropy.mean()),
            "approximate_kl": approximate_kl(log_pi, batch.log_pi_asked),
            **measured,
        }

    def state_dict(self) -> dict[str, object]:
        """Copy all that decides the future, and what it must agree with when it is loaded."""
        return {
            **self._origin(),
            "policy": {name: weights.clone() for name, weights in self.policy.state_dict().items()},
            "adam": deepcopy(self._adam.state_dict()),
            "generator": self._generator.get_state(),
            "pending": self._pending.state_dict(),
            "buffer": self._buffer.state_dict(),
            "baseline": self._baseline,
            "updates": self._updates,
            "metrics": dict(self.metrics),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where a state was taken, if it is of the same algorithm, settings and space."""
        check_origin(state, self._origin())
        saved = cast("dict[str, Any]", state)
        self.policy.load_state_dict(saved["policy"])
        self._adam.load_state_dict(saved["adam"])
        self._generator.set_state(saved["generator"])
        self._pending.load_state_dict(saved["pending"])
        self._buffer.load_state_dict(saved["buffer"])
        self._baseline, self._updates, self.metrics = saved["baseline"], saved["updates"], dict(saved["metrics"])

    def _origin(self) -> dict[str, object]:
        choices = list(self._space.choices)
        return {"algorithm": self._algorithm, "settings": asdict(self._settings), "choices": choices}

    def _baseline_before(self, batch: Batch) -> float:
        # the first batch has nothing before it; its own mean at least centres it
        return float(batch.rewards.mean()) if self._baseline is None else self._baseline


def approximate_kl(log_pi: Tensor, log_pi_asked: Tensor) -> float:
    """Estimate KL(policy at asking, policy now) from strings drawn at asking.

    KL = mean[(ratio - 1) - log(ratio)],   ratio = exp(log_pi - log_pi_asked)

    Source: Schulman, "Approximating KL divergence", 2020 (the estimator k3: unbiased, never negative).
    """
    log_ratio = (log_pi - log_pi_asked).double()
    return float((log_ratio.expm1() - log_ratio).mean())
