"""The one interface of this package: `ask` for token strings, `tell` what became of them.

Three instances show the idea. Random search proposes any allowed string and forgets what it is told. REINFORCE raises the probability of
strings that earned more than a baseline. PPO does the same, several times on one batch, held near the policy that made the proposals.
Only plain records cross the line between a controller and a search:

    ask(2)  -> [Proposal(id=0, tokens=(3, 1, ...)), Proposal(id=1, tokens=(0, 5, ...))]
    tell([Outcome(id=1, tokens=(0, 5, ...), status="duplicate"), ...])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

Status = Literal["trained", "duplicate", "rejected", "failed"]
"""What became of a proposal: its children were trained; it equals an earlier rule; the screen refused it; training broke."""

STATUSES: tuple[Status, ...] = get_args(Status)

METRIC_MEANINGS: dict[str, str] = {
    "updates": "updates of the policy so far (evolution, tree: outcomes learnt from)",
    "mean_reward": "mean over the batch of the rewards earned, floors included",
    "duplicate_share": "share of duplicates among the outcomes told since the last update (without a policy: in the last tell)",
    "invalid_share": "share of rejected and failed rules among the same outcomes",
    "baseline": "moving average of the mean rewards of the batches before this one",
    "baseline_error": "mean over the batch of |reward - baseline|",
    "entropy": "after the update, mean over the batch of the entropies along a string, summed, in nats",
    "approximate_kl": "after the update, mean of (ratio - 1) - log(ratio), ratio = policy now / policy at asking",
    "clipped_fraction": "in the last epoch, share of strings whose ratio lies outside [1 - clip, 1 + clip] (PPO)",
    "loss": "the minimised loss, in the last epoch",
    "gradient_norm": "norm of the gradient before it is clipped, in the last epoch",
    "queue_mean": "mean reward of the best strings so far, which a priority queue repeats",
    "kl": "mean over the batch of KL(policy before, policy after), of whole strings, in nats; 0 where the update was given up (TRPO)",
    "step_share": "share of the longest step that the line search took; 0 where none was good (TRPO)",
    "population_mean": "mean reward of the population (evolution)",
    "population_best": "best reward of the population (evolution)",
    "tree_nodes": "beginnings of strings that the tree holds (tree)",
}
"""Each number that `Controller.metrics` may report, defined here and nowhere else."""


class TokenSpace(Protocol):
    """What a controller must know of a search space: how long strings are, and which token may follow which.

    Tokens come in groups of five, `op1 op2 u1 u2 b`, but nothing in this package depends on that.
    """

    @property
    def choices(self) -> tuple[int, ...]:
        """Number of choices at each position; its length is the length of a string."""
        ...

    @property
    def kinds(self) -> tuple[int, ...]:
        """Positions of one kind share a vocabulary; later positions of a kind may have more choices."""
        ...

    def masks(self, prefixes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which tokens may come next: prefixes (batch, k) -> allowed (batch, choices[k])."""
        ...


@dataclass(frozen=True, slots=True)
class Proposal:
    """A token string that a controller wants tried; ids increase from 0 and are never used twice."""

    id: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a proposal.

    `reward` is needed when the rule was trained, and must be finite: a diverged child has its task's worst reward, not NaN. A duplicate
    may carry the reward stored for its rule, which only `duplicates = "paid"` pays.

    Raises:
        ValueError: for an unknown status, a trained rule without a reward, or a reward that is NaN or infinite.

    Example:
        >>> Outcome(id=0, tokens=(3, 1, 0, 0, 2), status="trained", reward=0.97).reward
        0.97
    """

    id: int
    tokens: tuple[int, ...]
    status: Status
    reward: float | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(
                f"Outcome(status={self.status!r}) of proposal {self.id}: must be one of {', '.join(STATUSES)}."
            )
        if self.reward is None:
            if self.status == "trained":
                raise ValueError(f"Outcome(reward=None) of proposal {self.id}: a trained rule needs a reward.")
        elif not math.isfinite(self.reward):
            raise ValueError(
                f"Outcome(reward={self.reward}) of proposal {self.id}: a reward must be finite; "
                "give a diverged child its task's worst reward."
            )


@dataclass(frozen=True, slots=True)
class Known:
    """A string that is known before a search: one of somebody's choice, or an earlier search's with what it earned.

    Raises:
        ValueError: for a reward that is NaN or infinite.

    Example:
        >>> Known((3, 1, 0, 0, 2), reward=0.9).reward
        0.9
    """

    tokens: tuple[int, ...]
    reward: float | None = None

    def __post_init__(self) -> None:
        if self.reward is not None and not math.isfinite(self.reward):
            raise ValueError(f"Known(reward={self.reward}) of {list(self.tokens)}: must be a finite number, or None.")


class Controller(Protocol):
    """Proposes token strings and learns from what became of them.

    A controller owns its random generator, seeded by the caller, and never reads the global one: the same seed and the same sequence of
    `ask` and `tell` give the same proposals.
    """

    def begin(self, known: Sequence[Known]) -> None:
        """Begin from known strings: propose those without a reward before anything else, and learn from the others at once.

        Raises:
            ValueError: for a string that the space does not allow; nothing is learnt then.
        """
        ...

    def ask(self, n: int) -> list[Proposal]:
        """Propose `n` strings. They need not be told before the next `ask`.

        Raises:
            ValueError: if `n` is negative.
        """
        ...

    def tell(self, outcomes: list[Outcome]) -> None:
        """Learn from outcomes, in any order and number; those short of a batch wait for the next call.

        Raises:
            ValueError: for an id that is not outstanding or given twice, or tokens that are not the proposal's; nothing is learnt then.
        """
        ...

    def metrics(self) -> dict[str, float]:
        """Report the last update in the words of `METRIC_MEANINGS`; empty before the first."""
        ...

    def state_dict(self) -> dict[str, object]:
        """Copy everything that decides the future: plain values and tensors, for `torch.save` and `torch.load(weights_only=True)`."""
        ...

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            ValueError: if the state is of another algorithm, other settings or another space.
        """
        ...
