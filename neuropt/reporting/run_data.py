"""A run as a report reads it: its ledger in the order in which things happened."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from neuropt.config import Reward, SearchConfig
from neuropt.evaluating.row import Row
from neuropt.searching.ledger import Ledger, open_ledger
from neuropt.searching.ledger_file import damaged, speaking
from neuropt.searching.ledger_rows import Environment, FoundRule
from neuropt.searching.recorded import finalist_rows
from neuropt.searching.run_folder import LEDGER, run_config
from neuropt.searching.status import RunStatus, run_status
from neuropt.training.children import Child
from neuropt.training.work import Done, Work

BEST = 10
"""Rules that are shown as formulas."""


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one rule.

    Args:
        proposal: its id.
        reward: what the controller saw.
        trained: whether it was; else training it failed.
    """

    proposal: int
    reward: float
    trained: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One proposal.

    Args:
        id: its number.
        tokens: its string.
        status: trained, failed, under way, duplicate or rejected.
        reason: of a rejected one.
    """

    id: int
    tokens: tuple[int, ...]
    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took.

    Args:
        trials, seconds: of the search; seconds of training, added up over workers.
        devices: where.
        children: by status.
        steps: of all children.
        finalist_works, finalist_seconds, finalist_children, finalist_steps: of the finalists and the built-ins.
    """

    trials: int
    seconds: float
    devices: tuple[str, ...]
    children: Mapping[str, int]
    steps: int
    finalist_works: int
    finalist_seconds: float
    finalist_children: int
    finalist_steps: int


@dataclass(frozen=True)
class RunData:
    """A run.

    Args:
        folder, config, status: of the run.
        created: when, ISO 8601.
        environments: in which results were computed, the first one first.
        told: rules in the order in which their results came.
        asked: proposals in their order.
        updates: (number, what the controller said), in their order.
        best: the best rules by reward.
        children: of the best rules, in the search: proposal -> children.
        tuning: of finalists and built-ins: rule or name on one line -> learning rate -> children on the tuning seeds.
        finalists: rows of the table.
        cost: what it took.
    """

    folder: Path
    config: SearchConfig
    status: RunStatus
    created: str
    environments: Sequence[Environment]
    told: Sequence[Told]
    asked: Sequence[Asked]
    updates: Sequence[tuple[int, Mapping[str, float]]]
    best: Sequence[FoundRule]
    children: Mapping[int, Sequence[Child]]
    tuning: Mapping[str, Mapping[float, Sequence[Child]]]
    finalists: Sequence[Row]
    cost: Cost

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.folder.resolve().name

    @property
    def metric(self) -> Reward:
        """What rules are ordered by; where it was left to the task, what children have."""
        measured = any(rule.accuracy is not None for rule in self.best)
        return self.config.reward or ("accuracy" if measured else "loss")


def read_run(folder: Path) -> RunData:
    """Read a run, also while a search writes it.

    Raises:
        ValueError: no run, or a damaged one, in one line.
    """
    status, config = run_status(folder), run_config(folder)
    with closing(open_ledger(folder / LEDGER)) as ledger:
        reader = _Reader(ledger)
        best = ledger.best(BEST)
        told = reader.told()
        works = reader.works()
        return RunData(
            folder=folder,
            config=config,
            status=status,
            created=ledger.meta().get("created", ""),
            environments=ledger.environments(),
            told=told,
            asked=reader.asked({one.proposal: one.trained for one in told}),
            updates=reader.updates(),
            best=best,
            children={found.proposal: reader.children(found.proposal) for found in best},
            tuning=_tuning(works),
            finalists=reader.finalists(),
            cost=reader.cost(works),
        )


class _Reader:
    """Rows of a ledger that only reports read; what a file holds may be anything, so each is checked."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with speaking(self.ledger.path):
            return self.ledger.connection.execute(query, values).fetchall()

    def told(self) -> list[Told]:
        rows = self.rows(
            "SELECT r.proposal, r.reward, r.status FROM rewards r JOIN proposals p ON p.id = r.proposal "
            "JOIN told t ON t.trial = p.trial ORDER BY t.event, r.proposal"
        )
        for number, reward, _ in rows:
            if not isinstance(reward, float):
                raise damaged(self.ledger.path, f"the reward of proposal {number}")
        return [Told(number, reward, status == "trained") for number, reward, status in rows]

    def asked(self, trained: Mapping[int, bool]) -> list[Asked]:
        def status(number: int, of: str) -> str:
            return of if of != "new" else {True: "trained", False: "failed", None: "under way"}[trained.get(number)]

        found = [row for rows in self.ledger.proposals().values() for row in rows]
        return [Asked(p.id, p.tokens, status(p.id, p.status), p.reason) for p in sorted(found, key=lambda p: p.id)]

    def updates(self) -> list[tuple[int, Mapping[str, float]]]:
        found: list[tuple[int, Mapping[str, float]]] = []
        for number, text in self.rows("SELECT number, metrics FROM updates ORDER BY number"):
            try:
                metrics = {str(name): float(value) for name, value in json.loads(text).items()}
            except (ValueError, TypeError, AttributeError):
                raise damaged(self.ledger.path, f"update {number}") from None
            found.append((int(number), metrics))
        return found

    def children(self, proposal: int) -> list[Child]:
        columns = "learning_rate, seed, status, steps, train_loss, loss, accuracy"
        rows = self.rows(f"SELECT {columns} FROM children WHERE proposal = ? ORDER BY learning_rate, seed", proposal)
        children = [Child(*row) for row in rows]
        if not all(_is_child(child) for child in children):
            raise damaged(self.ledger.path, f"a child of proposal {proposal}")
        return children

    def works(self) -> list[tuple[Work, Done]]:
        return [self._work(work, done) for work, done in self.ledger.works().items()]

    def _work(self, text: str, result: str) -> tuple[Work, Done]:
        try:
            work, done = Work.from_json(text), Done.from_json(result)
            children = [c for job in done.trained for row in job.children for c in row]
            sound = all(_is_child(c) for c in children) and _is_number(done.seconds)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.ledger.damaged_work(text) from None
        if not sound:
            raise self.ledger.damaged_work(text)
        return work, done

    def finalists(self) -> list[Row]:
        rows = finalist_rows(self.ledger)
        for position, row in enumerate(rows, 1):
            if not _is_row(row):
                raise damaged(self.ledger.path, f"row {position} of table finalists")
        return rows

    def cost(self, works: Sequence[tuple[Work, Done]]) -> Cost:
        trials = self.rows("SELECT seconds, device FROM told")
        if not all(isinstance(seconds, float | int | None) for seconds, _ in trials):
            raise damaged(self.ledger.path, "the seconds of a trial")
        by_status = self.rows("SELECT status, count(*), total(steps) FROM children GROUP BY status ORDER BY status")
        finalists = [c for _, done in works for job in done.trained for row in job.children for c in row]
        return Cost(
            trials=len(trials),
            seconds=float(sum(seconds or 0.0 for seconds, _ in trials)),
            devices=tuple(sorted({str(device) for _, device in trials})),
            children={str(status): int(count) for status, count, _ in by_status},
            steps=int(sum(steps for *_, steps in by_status)),
            finalist_works=len(works),
            finalist_seconds=sum(done.seconds for _, done in works),
            finalist_children=len(finalists),
            finalist_steps=sum(child.steps for child in finalists),
        )


def _is_number(value: object, optional: bool = False) -> bool:
    return (optional and value is None) or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_child(child: Child) -> bool:
    # SQLite keeps NaN as NULL, such as the training loss of a child from a table
    numbers = (child.train_loss, child.loss, child.accuracy, child.test_loss, child.test_accuracy)
    known = _is_number(child.learning_rate) and child.learning_rate > 0 and isinstance(child.steps, int)
    return known and all(_is_number(value, optional=True) for value in numbers)


def _is_row(row: Row) -> bool:
    """Whether a row of the table holds what its fields say; JSON may hold anything."""
    spreads = [spread for spread in (row.accuracy, row.loss, row.test_accuracy, row.test_loss) if spread is not None]
    numbers = [value for s in spreads for value in (s.median, s.q1, s.q3)] + [
        row.rates,
        row.tune_seeds,
        row.n,
        row.diverged,
    ]
    some = [value for s in spreads for value in (s.low, s.high)] + [row.learning_rate]
    texts = [row.task, row.optimizer, row.schedule, *([row.rule] if row.rule is not None else [])]
    sound = all(map(_is_number, numbers)) and all(_is_number(value, optional=True) for value in some)
    return sound and row.metric in get_args(Reward) and all(isinstance(text, str) for text in texts)


def _tuning(works: Sequence[tuple[Work, Done]]) -> dict[str, dict[float, list[Child]]]:
    """Return the children on tuning seeds; those on report seeds were evaluated on test, too."""
    found: defaultdict[str, dict[float, list[Child]]] = defaultdict(dict)
    for work, done in works:
        if work.test:
            continue
        for job, trained in zip(work.jobs, done.trained, strict=False):
            for children in trained.children:
                if children:
                    found[one_line(job.rule or job.optimizer or "")][children[0].learning_rate] = list(children)
    return {name: dict(sorted(rates.items())) for name, rates in found.items()}


def reasons(asked: Sequence[Asked]) -> list[tuple[str, int]]:
    """Return why proposals were rejected and how many were, the most frequent reason first."""
    return Counter(one.reason or "no reason given" for one in asked if one.status == "rejected").most_common()


def one_line(rule: str) -> str:
    """Return rule text on one line."""
    return "; ".join(rule.splitlines())
