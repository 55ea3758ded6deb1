"""Ray Tune's own ASHA, over trials of one rule each: at a rung a rule goes on if it is in the best third of those that were there before.

Tune restores no rungs, so a search that goes on begins with those of its ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.result import DEFAULT_METRIC
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from neuropt.config import Reward
from neuropt.searching.ledger_rows import ClimbedRule
from neuropt.searching.ray_worker import RESULT
from neuropt.searching.rewards import RewardRange, rule_reward
from neuropt.training.rungs import ETA
from neuropt.training.work import Done, Work

TIME, REWARD = "neuropt_time", "neuropt_reward"


class Asha(ASHAScheduler):  # type: ignore[misc]  # Ray has no annotations
    """ASHA with `reduction_factor` 3; the k-th rung has time 3^(k - 1), the whole budget the next power.

    Args:
        rungs: steps of those below the whole budget.
        task: which rewards there are, and how many steps.
        reward: what is compared.
        climbed: rungs that rules of the search reached before it went on.
    """

    def __init__(
        self, rungs: Sequence[int], task: RewardRange, reward: Reward, climbed: Iterable[ClimbedRule] = ()
    ) -> None:
        super().__init__(TIME, REWARD, "max", max_t=ETA ** len(rungs), grace_period=1, reduction_factor=ETA)
        self.task = task
        self.times = {steps: ETA**k for k, steps in enumerate(rungs)}
        self.reward: Reward = reward
        for rule in climbed:
            if not rule.control:
                self._remember(rule)

    @property
    def metric(self) -> str:
        """Say that Tune need not look for a metric in results: what is compared is made of them here."""
        return str(DEFAULT_METRIC)

    def _remember(self, rule: ClimbedRule) -> None:
        trial: Any = SimpleNamespace(trial_id=f"proposal {rule.proposal}")
        nobody: Any = None  # the scheduler asks the controller of trials for nothing
        self.on_trial_add(nobody, trial)
        for fidelity, value in zip(rule.fidelities, rule.rewards, strict=True):
            time = self.times.get(round(fidelity * self.task.steps))
            if time is not None:  # else the task had another budget then
                super().on_trial_result(nobody, trial, {TIME: time, REWARD: value})
        self.on_trial_remove(nobody, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Say whether a rule goes on; one of the control group does."""
        measured = self._measured(trial, result)
        if TIME not in measured:
            return str(TrialScheduler.CONTINUE)
        return str(super().on_trial_result(tune_controller, trial, measured))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> None:
        """Forget the trial; what it had come to at its rungs is kept."""
        self.on_trial_remove(tune_controller, trial)

    def _measured(self, trial: Any, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return how far a rule has come and its reward there; nothing where it is not to be compared."""
        if RESULT not in result or Work.from_json(trial.config["work"]).jobs[0].control:
            return {}
        (trained,) = Done.from_json(result[RESULT]).trained
        if not trained.rungs or trained.failure is not None or trained.fidelity == 1.0:
            return {}
        row = rule_reward(0, trained, self.task, self.reward)
        return {TIME: self.times[trained.rungs[-1].steps], REWARD: row.reward}
