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
        least: the smallest that `p_holm` can be with so many unequal pairs, however they and those of the other tasks fall.
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
    least: float
    tasks: int

    @property
    def shown(self) -> bool:
        """Whether the sample supports a difference."""
        return self.p_holm <= ALPHA

    @property
    def ahead(self) -> bool:
        """On which side the difference is: that of the median, or where it is 0 that of most seeds."""
        return (self.difference.median, self.wins) > (0.0, self.losses)

    @property
    def possible(self) -> bool:
        """Whether so few unequal pairs could support any difference, however they fall."""
        return self.least <= ALPHA

    def words(self, one: str, other: str, task: str) -> str:
        """Say what may be said; no difference is claimed that the sample cannot support."""
        counted = f"{one} on {task}, n = {self.n} seeds: ahead of {other} on {self.wins}, behind on {self.losses}, equal on {self.ties}"
        if not self.possible:
            unequal = self.wins + self.losses
            over = f" after Holm's correction over {self.tasks} tasks" if self.tasks > 1 else ""
            return f"{counted}; {unequal} unequal pairs can never give p under {self.least:.3g}{over}, so nothing is claimed"
        numbers = (
            f"median difference {self.difference.median:.4g}{_interval(self.difference.low, self.difference.high)}, "
        )
        numbers += f"probability of improvement {self.improvement.share:.2f}{_interval(self.improvement.low, self.improvement.high)}, "
        numbers += f"signed-rank p = {self.p_holm:.3g} (Holm, {self.tasks} task{'s' * (self.tasks != 1)})"
        if not self.shown:
            return f"{counted}; no difference is shown: {numbers}"
        return f"{counted}; it ends {'ahead' if self.ahead else 'behind'}: {numbers}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"


def compare_on_tasks(pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Against]:
    """Compare an entry with the reference on each task, p corrected over the tasks.

    Args:
        pairs: task -> merits of the two, higher is better, in the order of the seeds.
    """
    counts = {task: (_above(ones, others), _above(others, ones)) for task, (ones, others) in pairs.items()}
    p_values = [signed_rank_test(ones, others) for ones, others in pairs.values()]
    # Holm's correction is monotone in every p, so with all of them at their least nobody's can be less
    leasts = holm([least_p(wins + losses) for wins, losses in counts.values()])
    found = {}
    for (task, (ones, others)), p, p_holm, least in zip(pairs.items(), p_values, holm(p_values), leasts, strict=True):
        wins, losses = counts[task]
        found[task] = Against(
            n=len(ones),
            wins=wins,
            ties=len(ones) - wins - losses,
            losses=losses,
            difference=paired_difference(ones, others),
            improvement=improvement(ones, others),
            p=p,
            p_holm=p_holm,
            least=least,
            tasks=len(pairs),
        )
    return found


def _above(ones: Sequence[float], others: Sequence[float]) -> int:
    return sum(x > y for x, y in zip(ones, others, strict=True))
