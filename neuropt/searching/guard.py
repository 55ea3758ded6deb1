"""A guard: trains pieces of work in a process that it can end, so that no rule and no model can stop a search.

    guard      loads the task's data once and runs no rule
      trainer    a fork of the guard; ended when it passes a limit, and followed by a fresh one, which takes milliseconds

Rules that train together share their fate first. When a trainer ends by itself the cohort is trained once more, as it was, since the
cause may lie outside (then results keep their last bits); after that, and at once where a limit was passed, each rule is trained alone,
once, and the one that breaks a trainer alone is blamed. A rule that trains alone anyway is blamed the second time. Cohorts that were
finished before are not lost.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection

from neuropt.searching.limits import Limits
from neuropt.searching.trainer import Ask, Broken, Trainer
from neuropt.tasks.task import Task, TaskData
from neuropt.training.train import is_batched
from neuropt.training.work import Done, Trained, Work, work_slices


class Guard:
    """Does works as `do_work` does, with the same numbers, within limits.

    Args:
        task, data: of all works.
        limits: of each child.
        foreign: connections of this process that trainers must not keep open.
        ask: of works whose rungs are asynchronous, says what follows a rung.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        limits: Limits,
        foreign: Sequence[Connection] = (),
        ask: Ask | None = None,
    ) -> None:
        self.task, self.data, self.limits, self.foreign, self.ask = task, data, limits, foreign, ask
        self.trainer: Trainer | None = None
        if not is_batched(task):
            # torch imports it, for seconds, in the first step of an optimizer: once here, and not in every trainer's first child
            importlib.import_module("torch._dynamo")

    def begin(self) -> None:
        """See that the device can be used, before any rule is there to be blamed.

        Raises:
            DeviceError: it cannot.
        """
        if self.limits.watched:
            self._started()

    def train(self, work: Work) -> Done:
        """Train every job; one that passes a limit or breaks its process is recorded as failed.

        Raises:
            DeviceError: the device cannot be used any more.
        """
        began = time.perf_counter()
        found: dict[int, Trained] = {}
        work = self._fitting(work)
        for positions in _cohorts(work, self.task):
            cohort = replace(work, jobs=tuple(work.jobs[i] for i in positions))
            found |= zip(positions, self._trained(cohort), strict=True)
        return Done(tuple(found[i] for i in range(len(work.jobs))), time.perf_counter() - began, work.device)

    def close(self) -> None:
        """End the trainer."""
        if self.trainer is not None:
            self.trainer.end()
            self.trainer = None

    def _trained(self, cohort: Work) -> Sequence[Trained]:
        end = self._attempt(cohort)
        if isinstance(end, Broken) and end.died and len(cohort.jobs) > 1:
            end = self._attempt(cohort)
        if isinstance(end, Done):
            return end.trained
        return [self._alone(replace(cohort, jobs=(job,))) for job in cohort.jobs]

    def _alone(self, work: Work) -> Trained:
        end = self._attempt(work)
        return end.trained[0] if isinstance(end, Done) else Trained((), end.reason)

    def _started(self) -> Trainer:
        if self.trainer is None:
            self.trainer = Trainer(self.task, self.data, self.limits, self.foreign)
        return self.trainer

    def _fitting(self, work: Work) -> Work:
        """Return the work with as many rules to a buffer as the device has memory for, where it does not say."""
        room = None if work.rules_together is not None else self._started().room
        if room is None:
            return work
        children = len(work.seeds) * max(len(job.learning_rates) for job in work.jobs)
        return replace(work, rules_together=max(1, room // children))

    def _attempt(self, work: Work) -> Done | Broken:
        end = self._started().train(work, self.ask)
        if isinstance(end, Broken):
            self.trainer = None
        elif any(trained.failure is not None for trained in end.trained):
            self.close()  # what raised may have left anything behind
        return end


def _cohorts(work: Work, task: Task) -> list[list[int]]:
    """Return the positions of jobs that train together: the populations of the rules; optimizers one by one."""
    rules = [i for i, job in enumerate(work.jobs) if job.rule is not None]
    rates = [len(work.jobs[i].learning_rates) for i in rules]
    together = [rules[part] for part in work_slices(work, rates, task)]
    return together + [[i] for i, job in enumerate(work.jobs) if job.rule is None]
