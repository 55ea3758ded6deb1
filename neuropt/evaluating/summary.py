"""The summary of an evaluation: rows, ranks, profile, budget curves and claims, each with its n, as docs/evaluation.md says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from neuropt.evaluating.against import Against, compare_on_tasks
from neuropt.evaluating.better import missing
from neuropt.evaluating.config import EvaluationConfig
from neuropt.evaluating.contenders import Contender
from neuropt.evaluating.entries import Entry, Key, entries_of, label
from neuropt.evaluating.evidence import evidence
from neuropt.evaluating.grafting_table import grafting_table
from neuropt.evaluating.protocol import Protocol, Study
from neuropt.evaluating.rows import Json, row, task_ranks
from neuropt.evaluating.targets import Target, target_of
from neuropt.evaluating.verdict import verdicts
from neuropt.statistics.best_of_k import best_of_k
from neuropt.statistics.friedman import friedman
from neuropt.statistics.performance_profile import performance_profile
from neuropt.tasks.task import Task

SCHEMA = 1
TAUS = tuple(1.0 + i / 20 for i in range(61))
"""1 .. 4."""
LEAST_TASKS = 2
"""Of ranks and profiles."""

Studies = Sequence[tuple[Task, Sequence[Study]]]
Costs = Mapping[tuple[str, str], Mapping[str, Any]]


class Summary:
    """What is computed once for the parts of a summary.

    Args:
        studies: of all tasks.
        protocol: they followed.
        config: of the evaluation.
        costs: by task and optimizer.
    """

    def __init__(self, studies: Studies, protocol: Protocol, config: EvaluationConfig, costs: Costs) -> None:
        self.studies, self.protocol, self.config, self.costs = studies, protocol, config, costs
        self.entries = entries_of(studies, protocol)
        self.tasks = [task for task, _ in studies]
        self.contenders = list({s.contender.name: s.contender for _, found in studies for s in found}.values())
        self.keys = list(dict.fromkeys(entry.key for entry in self.entries))
        self.evidence = [task.name for task in evidence(self.tasks, self.contenders)]
        self.targets = {task.name: target_of(task, self.of(task.name)) for task in self.tasks}
        self.reference = _reference(config, self.keys, self.contenders)
        self.against = {key: self._against(key) for key in self.keys if key != self.reference}

    def of(self, task: str) -> list[Entry]:
        """Return the entries of a task."""
        return [entry for entry in self.entries if entry.task.name == task]

    def entry(self, task: str, key: Key) -> Entry | None:
        """Return an entry that has results, or None."""
        return next((e for e in self.of(task) if e.key == key and not e.failed), None)

    def _beside(self, key: Key) -> Key:
        """Return what an entry is compared with: the reference under its schedule, so that no optimizer is credited with a schedule."""
        same = self.reference[0], key[1]
        return same if same != key and same in self.keys else self.reference

    def _against(self, key: Key) -> dict[str, Against]:
        pairs = {}
        for task in self.tasks:
            one, other = self.entry(task.name, key), self.entry(task.name, self._beside(key))
            if one is not None and other is not None:
                pairs[task.name] = one.merits, other.merits
        return compare_on_tasks(pairs)

    def rows(self) -> list[Json]:
        """Return all rows, task by task, the best rank first."""
        found: list[Json] = []
        for task in self.tasks:
            entries = self.of(task.name)
            rows = [
                row(
                    entry,
                    rank,
                    self.targets[task.name],
                    self.config.consecutive,
                    self.costs.get((task.name, entry.key[0])),
                    self.against.get(entry.key, {}).get(task.name),
                    self._beside(entry.key),
                )
                for entry, rank in zip(entries, task_ranks(entries), strict=True)
            ]
            found += sorted(rows, key=lambda one: one["rank"])
        return found

    def ranks(self) -> Json | None:
        """Return mean ranks over the tasks that are evidence, and Friedman's test."""
        if len(self.keys) < 2 or len(self.evidence) < LEAST_TASKS:
            return None
        table = [[-entry.median_merit for entry in self.of(task)] for task in self.evidence]
        found = friedman(table)
        n = len(self.evidence)
        apart = ""
        if found.critical_difference is not None:
            least = found.critical_difference
            apart = (
                f"; two that are {least:.2f} apart differ" if least < len(self.keys) else "; no two can be told apart"
            )
        verdict = (
            f"the entries do not all rank alike (p = {found.p:.3g}){apart}"
            if found.p <= 0.05
            else (f"chance alone gives ranks this far apart with p = {found.p:.3g}, so no order is claimed")
        )
        return {
            "entries": [
                {"optimizer": key[0], "schedule": key[1], "mean_rank": rank, "tasks": n}
                for key, rank in zip(self.keys, found.mean_ranks, strict=True)
            ],
            "tasks": n,
            "chi2": found.chi2,
            "p": found.p,
            "critical_difference": found.critical_difference,
            "words": f"Friedman's test over n = {n} tasks and {len(self.keys)} entries: {verdict}.",
        }

    def profile(self) -> Json | None:
        """Return the performance profile of median steps to the target, over the tasks that are evidence and have one."""
        tasks = [task for task in self.evidence if self.targets[task] is not None]
        if len(tasks) < LEAST_TASKS:
            return None
        costs = [[self._steps(entry, self.targets[task]) for entry in self.of(task)] for task in tasks]
        missed = sum(math.isinf(min(row)) for row in costs)
        shares = performance_profile(costs, TAUS)
        return {
            "tau": list(TAUS),
            "entries": [
                {"optimizer": key[0], "schedule": key[1], "share": share}
                for key, share in zip(self.keys, shares, strict=True)
            ],
            "tasks": len(tasks),
            "words": f"The share of n = {len(tasks)} tasks on which the median of the steps to the target is at most tau times that of "
            f"the fastest entry; a miss is infinite{f', and on {missed} of them every entry missed it' if missed else ''}.",
        }

    def _steps(self, entry: Entry, target: Target | None) -> float:
        if entry.failed or target is None:
            return math.inf
        steps = sorted(entry.steps_to(target.value, self.config.consecutive))
        return max(
            1.0, steps[len(steps) // 2]
        )  # the upper median: no miss is averaged, more than half of the seeds must reach it

    def budgets(self) -> list[Json]:
        """Return the expected best of k trials of every entry, in the task's metric."""
        found: list[Json] = []
        for entry in self.entries:
            tuning = entry.study.tuning
            if tuning is None or not tuning.results:
                continue
            measure = entry.measure
            means = [
                sum(measure.merit(measure.final(child)) for child in children) / len(children)
                for children in tuning.results.values()
            ]
            values = [measure.merit(value) for value in best_of_k(means)]
            head = {"task": entry.task.name, "optimizer": entry.key[0], "schedule": entry.key[1]}
            found.append(head | {"k": list(range(1, len(values) + 1)), "value": values})
        return found

    def _failed(self, key: Key) -> list[str]:
        """Return the tasks that are evidence, on which an entry has no result although the reference has."""
        other = self._beside(key)
        return [t for t in self.evidence if self.entry(t, key) is None and self.entry(t, other) is not None]

    def wins(self) -> list[Json]:
        """Return on how many tasks each entry is shown to be ahead of the reference, and behind."""
        found: list[Json] = []
        for key, against in self.against.items():
            counted = {task: one for task, one in against.items() if task in self.evidence}
            ahead = sum(one.shown and one.ahead for one in counted.values())
            behind = sum(one.shown and not one.ahead for one in counted.values())
            ties = len(counted) - ahead - behind
            failed = len(self._failed(key))
            head = {"optimizer": key[0], "schedule": key[1], "wins": ahead, "ties": ties}
            impossible = sum(not one.possible for one in counted.values())
            tasks = len(counted) + failed
            found.append(head | {"losses": behind + failed, "tasks": tasks, "impossible": impossible, "failed": failed})
        return found

    def _families(self, key: Key) -> str:
        """Return of how many families the tasks are that an entry was counted on: those of one family are no independent evidence."""
        counted = {*self.against[key], *self._failed(key)} & {*self.evidence}
        count = len({task.family for task in self.tasks if task.name in counted})
        return f"{count} famil{'y' if count == 1 else 'ies'}"

    def claims(self) -> list[str]:
        """Return sentences, every one with its n."""
        found = []
        for key, counts in zip(self.against, self.wins(), strict=True):
            other = label(self._beside(key))
            if not counts["tasks"]:
                found.append(f"{label(key)} against {other}: n = 0, no task here is evidence for both.")
                continue
            if counts["tasks"] == 1 and not counts["failed"]:
                (task,) = set(self.against[key]) & set(self.evidence)
                found.append(self.against[key][task].words(label(key), other, task) + ".")
                continue
            found.append(
                f"{label(key)} against {other}, n = {counts['tasks']} tasks that are evidence, of {self._families(key)}, "
                f"{self.config.seeds} seeds each: ahead on {counts['wins']}, behind on {counts['losses']}, "
                f"no difference shown on {counts['ties']}{_unable(counts['impossible'])}{_lost(self._failed(key))}."
            )
        if (ranks := self.ranks()) is not None:
            found.append(ranks["words"])
        elif len(self.keys) > 1:
            found.append(f"Ranks need {LEAST_TASKS} tasks that are evidence; here is n = {len(self.evidence)}.")
        return [*found, *verdicts(self.studies, self.protocol, self.contenders)]

    def better(self) -> Json:
        """Return whether the word may be used of any entry, and what is missing."""
        reasons = [missing(contender, self.studies, self.protocol) for contender in self.contenders]
        fewest = min(reasons, key=len)
        return {"allowed": not fewest, "missing": fewest}

    def content(self, facts: Mapping[str, str]) -> Json:
        """Return all of it."""
        return {
            "schema": SCHEMA,
            "protocol": self._protocol(),
            "tasks": {task.name: self._task(task) for task in self.tasks},
            "optimizers": {contender.name: _optimizer(contender) for contender in self.contenders},
            "rows": self.rows(),
            "ranks": self.ranks(),
            "profile": self.profile(),
            "best_of_k": self.budgets(),
            "wins": self.wins(),
            "grafting": grafting_table(self.entries),
            "better": self.better(),
            "claims": self.claims(),
            "facts": dict(facts),
        }

    def _protocol(self) -> Json:
        return {
            "seed": self.config.seed,
            "tune_seeds": list(self.protocol.tune_seeds),
            "report_seeds": list(self.protocol.report_seeds),
            "grid": self.protocol.grid,
            "trials": self.protocol.trials,
            "schedules": list(self.protocol.schedules),
            "evaluations": self.protocol.evaluations,
            "consecutive": self.config.consecutive,
            "reference": f"{self.reference[0]} under the same schedule"
            if len({schedule for _, schedule in self.keys}) > 1
            else label(self.reference),
            "profile": self.config.profile,
        }

    def _task(self, task: Task) -> Json:
        measure, target = self.of(task.name)[0].measure, self.targets[task.name]
        return {
            "family": task.family,
            "description": task.description,
            "metric": measure.metric,
            "higher_is_better": measure.higher_is_better,
            "steps": task.steps,
            "batch_size": task.batch_size,
            "target": None if target is None else target.value,
            "target_from": None if target is None else target.origin,
            "worst": measure.worst,
            "evidence": task.name in self.evidence,
        }


def _unable(tasks: int) -> str:
    return f", on {tasks} of which so few unequal pairs can never show one" if tasks else ""


def _lost(tasks: Sequence[str]) -> str:
    return f"; it could not be trained on {', '.join(tasks)}, which counts as behind" if tasks else ""


def _optimizer(contender: Contender) -> Json:
    return {
        "rule": contender.shown_rule,
        "default_lr": contender.default_lr,
        "tuned": {name: list(values) for name, values in contender.axes},
        "searched": sorted(contender.searched),
    }


def _reference(config: EvaluationConfig, keys: Sequence[Key], contenders: Sequence[Contender]) -> Key:
    """Return the entry that others are compared with: the one asked for, else adamw, else the first baseline, else the first."""
    names = [contender.name for contender in contenders]
    baselines = [c.name for c in contenders if c.optimizer is not None and not c.searched]
    name = config.reference or ("adamw" if "adamw" in names else (baselines or names)[0])
    return next(key for key in keys if key[0] == name)
