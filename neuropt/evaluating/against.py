"""One entry against the reference, seed by seed, and what may be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuropt.evaluating.statistics import COVERAGE
from neuropt.statistics.holm import holm
from neuropt.statistics.improvement import Improvement, improvement
from neuropt.statistics.paired_bootstrap import Difference, paired_difference
from neuropt.statistics.wilcoxon import least_p, signed_rank_test

ALPHA = 1 - COVERAGE


@dataclass(frozen=True, slots=True)
class Against:
    """Two entries on the same seeds of a task.

    Args:
        n: pairs.
        wins, ties, losses: seeds on which the first is ahead, equal, behind.
        difference: of the merits, positive where the first is ahead.
        improvement: probability of improvement.
        p: of the two-sided signed-rank test.
        p_holm: corrected for the tasks that the two were compared on.
        tasks: how many these are.
    """

    n: int
    wins: int
    ties: int
    losses: int
    difference: Difference
    improvement: Improvement
    p: float
    p_holm: float
    tasks: int

    @property
    def shown(self) -> bool:
        """Whether the sample can support a difference, and does."""
        return self.possible and self.p_holm <= ALPHA

    @property
    def possible(self) -> bool:
        """Whether so few unequal pairs could show any difference, however they fell, after correction."""
        return self.tasks * least_p(self.wins + self.losses) <= ALPHA

    def words(self, one: str, other: str, task: str) -> str:
        """Say what may be said; no difference is claimed that the sample cannot support."""
        counted = f"{one} on {task}, n = {self.n} seeds: ahead of {other} on {self.wins}, behind on {self.losses}, equal on {self.ties}"
        if not self.possible:
            unequal = self.wins + self.losses
            least = min(1.0, self.tasks * least_p(unequal))
            over = f" after Holm's correction over {self.tasks} tasks" if self.tasks > 1 else ""
            return f"{counted}; {unequal} unequal pairs can never give p under {least:.3g}{over}, so nothing is claimed"
        numbers = (
            f"median difference {self.difference.median:.4g}{_interval(self.difference.low, self.difference.high)}, "
        )
        numbers += f"probability of improvement {self.improvement.share:.2f}{_interval(self.improvement.low, self.improvement.high)}, "
        numbers += f"signed-rank p = {self.p_holm:.3g} (Holm, {self.tasks} task{'s' * (self.tasks != 1)})"
        if not self.shown:
            return f"{counted}; no difference is shown: {numbers}"
        return f"{counted}; it ends {'ahead' if self.difference.median > 0 else 'behind'}: {numbers}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"


def compare_on_tasks(pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Against]:
    """Compare an entry with the reference on each task, p corrected over the tasks.

    Args:
        pairs: task -> merits of the two, higher is better, in the order of the seeds.
    """
    p_values = {task: signed_rank_test(ones, others) for task, (ones, others) in pairs.items()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    found = {}
    for task, (ones, others) in pairs.items():
        wins = sum(x > y for x, y in zip(ones, others, strict=True))
        losses = sum(x < y for x, y in zip(ones, others, strict=True))
        found[task] = Against(
            n=len(ones),
            wins=wins,
            ties=len(ones) - wins - losses,
            losses=losses,
            difference=paired_difference(ones, others),
            improvement=improvement(ones, others),
            p=p_values[task],
            p_holm=corrected[task],
            tasks=len(pairs),
        )
    return found
