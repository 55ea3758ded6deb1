"""What REINFORCE, PPO and TRPO have in common: from outcomes to a batch, its advantages, and a loss that the algorithm completes.

    loss = surrogate(log pi, advantages) - entropy_weight mean(entropy) - queue_weight mean(log pi(best strings so far))

An algorithm says what its surrogate is, and how it improves the policy on one batch.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from controllers.advantages import compute_advantages, moving_baseline, risk_seeking
from controllers.ask_tell import AskTell, Tokens
from controllers.batches import Batch, BatchBuffer
from controllers.controller import Outcome, TokenSpace
from controllers.mutants import Mutants
from controllers.policy import Policy
from controllers.priority_queue import PriorityQueue
from controllers.recent import Recent
from controllers.settings import PolicySettings

MAX_LOG_RATIO = 20.0
MEMORY = 10_000
"""Newest proposals, none of which is a mutant, or drawn anew; 1 MB."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One batch with its advantages, and behind it the best strings so far, if they are to be repeated."""

    tokens: Tokens  # (batch + queue, length)
    allowed: Tensor  # (batch + queue, length, widest)
    log_pi_asked: Tensor  # (batch,)
    advantages: Tensor  # (batch,)

    @property
    def size(self) -> int:
        """Strings of the batch itself."""
        return len(self.advantages)


class PolicyGradient(AskTell):
    """A controller that trains the LSTM policy.

    Args:
        space: which strings exist.
        settings: the choices that all algorithms share.
        seed: decides the first weights and every draw.
    """

    def __init__(self, space: TokenSpace, settings: PolicySettings, seed: int) -> None:
        super().__init__(space, settings, seed)
        self._choices = settings
        self.policy = Policy(
            space,
            self._generator,
            hidden=settings.hidden,
            embedding=settings.embedding,
            initial_range=settings.initial_range,
        )
        self._buffer = BatchBuffer(settings.batch_size, settings.duplicates, settings.worst_reward)
        self._queue = PriorityQueue(settings.queue_size)
        remembers = settings.mutant_share > 0.0 or settings.redraws > 0
        self._recent = Recent(MEMORY if remembers else 0)
        self._mutants = Mutants(space, settings, self._recent)
        self._progress = Progress()
        self._parts |= {
            "policy": self.policy,
            "buffer": self._buffer,
            "queue": self._queue,
            "mutants": self._mutants,
            "recent": self._recent,
            "progress": self._progress,
        }

    # -- what an algorithm says ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _surrogate(self, log_pi: Tensor, lesson: Lesson) -> Tensor:
        """Return the loss that makes good strings more probable; `log_pi` (batch,) carries the gradient."""

    @abstractmethod
    def _improve(self, lesson: Lesson) -> dict[str, float]:
        """Change the policy; return what was measured on the way."""

    # -- what follows from it --------------------------------------------------------------------------------------------------

    def _draw(self, n: int) -> tuple[Tokens, list[float]]:
        mutants = self._mutants.draw(n, self._generator)
        kept = self._admit(mutants)
        tokens, log_pi = self._sampled(n - len(mutants))
        self._recent.add(tokens)
        return np.concatenate([mutants, tokens]), [*kept, *log_pi.tolist()]

    def _sampled(self, n: int) -> tuple[Tokens, Tensor]:
        """Let the policy draw, and draw anew what it repeats."""
        tokens, log_pi = self.policy.sample(n, self._generator)
        for _ in range(self._choices.redraws):
            again = self._recent.repeated(tokens)
            if not again.any():
                break
            tokens[again], log_pi[torch.from_numpy(again)] = self.policy.sample(int(again.sum()), self._generator)
        return tokens, log_pi

    @torch.no_grad()
    def _admit(self, tokens: Tokens) -> list[float]:
        if not len(tokens):
            return []
        self._recent.add(tokens)
        log_pi: list[float] = self.policy.evaluate(tokens)[0].tolist()
        return log_pi

    def _learn(self, outcomes: list[Outcome], kept: list[float]) -> None:
        """Collect outcomes; update once for each batch that they complete."""
        self._queue.add(outcomes)
        self._mutants.learn(outcomes)
        for batch in self._buffer.add(outcomes, log_pi_asked=kept):
            lesson = self._lesson(batch)
            measured = self._improve(lesson)
            self._metrics = {**self._measure(batch, lesson), **measured}
            self._progress.finish(batch, self._choices.baseline_decay)

    def _lesson(self, batch: Batch) -> Lesson:
        kind, baseline = self._choices.advantages, self._progress.baseline_before(batch)
        advantages = risk_seeking(compute_advantages(kind, batch.rewards, baseline), self._choices.top_share)
        tokens = np.concatenate([batch.tokens, self._queue.strings()]) if len(self._queue) else batch.tokens
        return Lesson(tokens, self.policy.allowed(tokens), batch.log_pi_asked, advantages.float())

    def _loss(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """Return the loss, and log pi of the batch (batch,)."""
        log_pi, entropy = self.policy.evaluate(lesson.tokens, lesson.allowed)
        n = lesson.size
        loss = self._surrogate(log_pi[:n], lesson) - self._choices.entropy_weight * entropy[:n].mean()
        if len(log_pi) > n:
            loss = loss - self._choices.queue_weight * log_pi[n:].mean()
        return loss, log_pi[:n]

    @torch.no_grad()
    def _measure(self, batch: Batch, lesson: Lesson) -> dict[str, float]:
        """Measure the policy after an update."""
        log_pi, entropy = self.policy.evaluate(batch.tokens, lesson.allowed[: lesson.size])
        baseline = self._progress.baseline_before(batch)
        queue = {"queue_mean": self._queue.mean_reward} if len(self._queue) else {}
        return {
            "updates": float(self._progress.updates + 1),
            "mean_reward": float(batch.rewards.mean()),
            "duplicate_share": batch.duplicate_share,
            "invalid_share": batch.invalid_share,
            "baseline": baseline,
            "baseline_error": float((batch.rewards - baseline).abs().mean()),
            "entropy": float(entropy.mean()),
            "approximate_kl": approximate_kl(log_pi, batch.log_pi_asked),
            **queue,
        }


def likelihood_ratio(log_pi: Tensor, log_pi_asked: Tensor, advantages: Tensor) -> Tensor:
    """Return how much more probable each string is than when it was asked: exp(log_pi - log_pi_asked), (batch,).

    Raises:
        ValueError: unless all three are (batch,).
    """
    if log_pi.ndim != 1 or not log_pi.shape == log_pi_asked.shape == advantages.shape:
        shapes = f"{tuple(log_pi.shape)}, {tuple(log_pi_asked.shape)}, {tuple(advantages.shape)}"
        raise ValueError(f"log_pi, log_pi_asked and advantages must all be (batch,), but got {shapes}.")
    # a string asked many updates ago may have become e^90 times as probable: infinite in float32, and then NaN in every weight
    return (log_pi - log_pi_asked).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()


class Progress:
    """Updates so far, and the moving average of their rewards."""

    def __init__(self) -> None:
        self.updates = 0
        self._baseline: float | None = None

    def baseline_before(self, batch: Batch) -> float:
        """Return the baseline of the batches before this one."""
        # the first batch has nothing before it; its own mean at least centres it
        return float(batch.rewards.mean()) if self._baseline is None else self._baseline

    def finish(self, batch: Batch, decay: float) -> None:
        """Count an update."""
        self.updates += 1
        self._baseline = moving_baseline(self._baseline, batch.rewards, decay)

    def state_dict(self) -> dict[str, float | None]:
        """Copy both as plain values."""
        return {"updates": self.updates, "baseline": self._baseline}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Replace both by a copy made by `state_dict`."""
        self.updates, self._baseline = int(state["updates"] or 0), state["baseline"]


def approximate_kl(log_pi: Tensor, log_pi_asked: Tensor) -> float:
    """Estimate KL(policy at asking, policy now) from strings drawn at asking.

    KL = mean[(ratio - 1) - log(ratio)],   ratio = exp(log_pi - log_pi_asked)

    Source: Schulman, "Approximating KL divergence", 2020 (the estimator k3: unbiased, never negative).
    """
    log_ratio = (log_pi - log_pi_asked).double()
    return float((log_ratio.expm1() - log_ratio).mean())
