"""Tuning: which trials one entry gets, one round after the other, and which of them is the best.

first      rungs around the entry's own centre
edge       one rung a round beyond the edge that is nearer to the best
axes       at the best learning rate, each other value of one hyperparameter after the other

With a budget every entry gets exactly that many trials: what has no hyperparameters to tune gets more learning rates. Without one (the
finalists of a search) seven rungs are followed by at most two, where the best lies on the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from neuropt.evaluating.ladders import Ladder
from neuropt.training.children import Child

EXTENSIONS = 2
"""Learning rates that may be tried beyond an edge of the first ones."""
RATES = 7
"""First learning rates where no budget is given."""
LEAST_FIRST = 3

Hyperparameters = tuple[tuple[str, float], ...]
Axis = tuple[str, tuple[float, ...]]
"""A hyperparameter and the values to be tried; the first one holds until it is tuned."""
Merit = Callable[[Child], float]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial sets.

    Args:
        rung: of the ladder of learning rates.
        learning_rate: there.
        hyperparameters: all that are set beside it.
    """

    rung: int
    learning_rate: float
    hyperparameters: Hyperparameters = ()


def first_rates(budget: int | None, axes: Sequence[Axis]) -> int:
    """Return how many learning rates are tried first.

    Raises:
        ValueError: a budget that is too small for the axes.

    >>> first_rates(9, []), first_rates(9, [("beta2", (0.95, 0.99, 0.999))]), first_rates(None, [])
    (7, 5, 7)
    """
    if budget is None:
        return RATES
    others = sum(len(values) - 1 for _, values in axes)
    first = budget - EXTENSIONS - others
    if first < LEAST_FIRST:
        least = LEAST_FIRST + EXTENSIONS + others
        raise ValueError(
            f"trials must be at least {least} to tune {' and '.join(n for n, _ in axes) or 'lr'}, but got {budget}"
        )
    return first


@dataclass(slots=True)
class Tuning:
    """The trials of one entry as they go on.

    Args:
        ladder: of its learning rates.
        axes: what is tuned beside them.
        budget: trials in all; None for seven learning rates and more at an edge only.
        merit: of a child, higher is better; the worst there is where it diverged.
        results: children of each trial on the tuning seeds, in the order of trying.
    """

    ladder: Ladder
    axes: tuple[Axis, ...]
    budget: int | None
    merit: Merit
    results: dict[Trial, tuple[Child, ...]] = field(default_factory=dict)

    def next(self) -> list[Trial]:
        """Return the trials of the next round; none when the budget is used."""
        fixed = tuple((name, values[0]) for name, values in self.axes)
        if not self.results:
            count = first_rates(self.budget, self.axes)
            return [self._trial(rung, fixed) for rung in range(-(count // 2), count - count // 2)]
        rungs = len({trial.rung for trial in self.results})
        if rungs < first_rates(self.budget, self.axes) + EXTENSIONS and (self.budget is not None or self.edge):
            return [self._trial(self._beyond(), fixed)]
        for name, values in self.axes:
            tried = {dict(trial.hyperparameters)[name] for trial in self.results}
            if left := [value for value in values if value not in tried]:
                best = self.best
                return [self._trial(best.rung, _with(best.hyperparameters, name, value)) for value in left]
        return []

    def tell(self, trial: Trial, children: Sequence[Child]) -> None:
        """Take what a trial came to."""
        self.results[trial] = tuple(children)

    @property
    def best(self) -> Trial:
        """The trial of the best mean merit; ties go to the lower mean loss, then to the lower learning rate, then to the earlier trial."""
        return max(self.results, key=self._rank)

    @property
    def edge(self) -> bool:
        """Whether the best learning rate is the lowest or the highest that was tried."""
        rungs = [trial.rung for trial in self.results]
        return self.best.rung in (min(rungs), max(rungs))

    def score(self, trial: Trial) -> float:
        """Return the mean merit of a trial's children."""
        return fmean(self.merit(child) for child in self.results[trial])

    def _rank(self, trial: Trial) -> tuple[float, float, int]:
        return self.score(trial), -fmean(_loss(child) for child in self.results[trial]), -trial.rung

    def _trial(self, rung: int, hyperparameters: Hyperparameters) -> Trial:
        return Trial(rung, self.ladder.rate(rung), hyperparameters)

    def _beyond(self) -> int:
        """Return the rung beyond the edge that is nearer to the best; the better one of its neighbours breaks a tie."""
        rungs, best = sorted(trial.rung for trial in self.results), self.best.rung
        below, above = best - rungs[0], rungs[-1] - best
        if below == above:
            at = {trial.rung: self._rank(trial) for trial in self.results}
            below -= at[best - 1] > at[best + 1] if below else 0
        return rungs[0] - 1 if below < above else rungs[-1] + 1


def _with(hyperparameters: Hyperparameters, name: str, value: float) -> Hyperparameters:
    return tuple((n, value if n == name else v) for n, v in hyperparameters)


def _loss(child: Child) -> float:
    return math.inf if child.status != "trained" or child.loss is None else child.loss
