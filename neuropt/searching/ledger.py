"""The ledger of a run: every proposal, duplicate, rejected rule, child and reward, in one SQLite file; the only truth after a crash.

Two kinds of events make a search, in one order: the controller is asked (`asked`), and it is told (`told`). Each is one transaction,
written before the search goes on, so replaying the events in their order through a fresh controller brings it to where it was. Rows are
added, never changed. Each result names its environment: versions, threads, and hashes of the data and the first weights.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuropt.searching.ledger_file import FACTS, LedgerError, create_file, damaged, open_file, speaking
from neuropt.searching.ledger_rows import Beginning, ClimbedRule, Environment, Event, FoundRule, ProposalRow, RewardRow
from neuropt.training.children import Child


class Ledger:
    """An open ledger. Use `create_ledger` or `open_ledger`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path, self.connection = path, connection
        self.events = self._count_events()
        environments = self.environments()
        self.environment = environments[-1].number if environments else None
        # a file of an earlier schema that is only read has rules of full fidelity alone
        self._climbs = bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'rungs'"))
        self._full = "AND r.fidelity = 1.0" if self._climbs else ""

    def _count_events(self) -> int:
        query = "SELECT max(event) FROM (SELECT event FROM asked UNION ALL SELECT event FROM told)"
        last = self._rows(query)[0][0]
        return 0 if last is None else int(str(last)) + 1

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with speaking(self.path), self.connection:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection

    # -- writing -------------------------------------------------------------------------------------------------------------------

    def write_asked(self, trial: int, proposals: Sequence[ProposalRow]) -> None:
        """Record that the controller was asked for a trial, and all it proposed."""
        rows = [
            (p.id, trial, json.dumps(p.tokens), p.rule, p.key, p.status, p.original, p.reason, int(p.negated), p.scale)
            for p in proposals
        ]
        with self._transaction() as db:
            db.execute("INSERT INTO asked VALUES (?, ?)", (trial, self.events))
            db.executemany("INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self.events += 1

    def write_told(self, trial: int, rewards: Sequence[RewardRow], seconds: float, device: str) -> None:
        """Record the results of a trial; the controller may learn from them once this returns."""
        with self._transaction() as db:
            query = "INSERT INTO told (trial, event, seconds, device, environment) VALUES (?, ?, ?, ?, ?)"
            db.execute(query, (trial, self.events, seconds, device, self.environment))
            values = [_reward_values(r) for r in rewards]
            db.executemany("INSERT INTO rewards VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            db.executemany(
                "INSERT INTO rungs VALUES (?, ?, ?)", [(r.proposal, *rung) for r in rewards for rung in r.rungs]
            )
            db.executemany(
                "INSERT INTO children VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_child_values(r.proposal, child) for r in rewards for child in r.children],
            )
        self.events += 1

    def write_environment(self, facts: Mapping[str, str], afresh: bool = False) -> None:
        """Record that the search goes on in another environment; results from now on name it.

        Args:
            facts: all of them.
            afresh: whether the controller begins again here, since in the new environment it proposes other rules than it did.
        """
        number = (self.environment or 0) + 1
        row = (number, self.events, json.dumps(dict(facts)))
        first = "coalesce((SELECT max(id) + 1 FROM proposals), 0), coalesce((SELECT max(number) FROM updates), 0)"
        with self._transaction() as db:
            db.execute(f"INSERT INTO environments SELECT ?, ?, ?, {first if afresh else 'NULL, NULL'}", row)
        self.environment = number

    def write_update(self, number: int, metrics: Mapping[str, float]) -> None:
        """Record what the controller said of its update `number`."""
        with self._transaction() as db:
            db.execute("INSERT INTO updates VALUES (?, ?)", (number, json.dumps(dict(metrics))))

    def write_work(self, work: str, done: str) -> None:
        """Record a piece of work of the finalists and what came of it, both as JSON, so that none is done twice."""
        with self._transaction() as db:
            db.execute("INSERT INTO works (work, done, environment) VALUES (?, ?, ?)", (work, done, self.environment))

    def works(self) -> dict[str, str]:
        """Return the works of the finalists that are done, as JSON."""
        return {str(work): str(done) for work, done in self._rows("SELECT work, done FROM works")}

    def damaged_work(self, work: str) -> LedgerError:
        """Return the error of a work whose result cannot be read."""
        ((row,),) = self._rows("SELECT rowid FROM works WHERE work = ?", work)
        return damaged(self.path, f"row {row} of table works")

    def write_finalists(self, rows: Iterable[str]) -> None:
        """Record the table of finalists, a JSON text a row."""
        with self._transaction() as db:
            db.executemany("INSERT INTO finalists VALUES (?, ?)", enumerate(rows, 1))

    # -- reading -------------------------------------------------------------------------------------------------------------------

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with speaking(self.path):
            return self.connection.execute(query, values).fetchall()

    def meta(self) -> dict[str, str]:
        """Return what a run is."""
        return {str(key): str(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def environments(self) -> list[Environment]:
        """Return the environments of a run, the first one first; none for a file of schema 1 that is only read."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'environments'"):
            return []
        rows = self._rows("SELECT number, event, facts, first_proposal, first_update FROM environments ORDER BY number")
        return [
            Environment(number, event, self._json(facts, dict, f"environment {number}"), proposal, update)  # type: ignore[arg-type]  # typed by the schema
            for number, event, facts, proposal, update in rows
        ]

    def facts(self) -> Mapping[str, str]:
        """Return the facts of the present environment; schema 1 kept them in `meta`."""
        environments = self.environments()
        return environments[-1].facts if environments else {k: v for k, v in self.meta().items() if k in FACTS}

    def beginning(self) -> Beginning:
        """Return where the present controller began: at the start of the run, unless a change was accepted that made it begin again."""
        for environment in reversed(self.environments()):
            if environment.first_proposal is not None and environment.first_update is not None:
                return Beginning(environment.event, environment.first_proposal, environment.first_update)
        return Beginning(0, 0, 0)

    def history(self) -> list[Event]:
        """Return all events in their order."""
        rows = self._rows(
            "SELECT 'asked', trial, event FROM asked UNION ALL SELECT 'told', trial, event FROM told ORDER BY 3"
        )
        return [
            Event(int(str(number)), "asked" if kind == "asked" else "told", int(str(trial)))
            for kind, trial, number in rows
        ]

    def proposals(self) -> dict[int, list[ProposalRow]]:
        """Return the proposals of each trial, in their order."""
        found = defaultdict[int, list[ProposalRow]](list)
        query = (
            "SELECT trial, id, tokens, rule, key, status, original, reason, negated, scale FROM proposals ORDER BY id"
        )
        for trial, *row in self._rows(query):
            found[int(str(trial))].append(self._proposal(*row))
        return found

    def _proposal(self, number: Any, tokens: Any, rule: Any, key: Any, status: Any, *rest: Any) -> ProposalRow:
        found = self._json(tokens, list, f"the token string of proposal {number}")
        original, reason, negated, scale = rest
        if not all(isinstance(token, int) for token in found) or not isinstance(scale, float | None):
            raise damaged(self.path, f"proposal {number}")
        return ProposalRow(number, tuple(found), rule, key, status, original, reason, bool(negated), scale)

    def _json(self, text: object, kind: type, what: str) -> Any:
        """Read JSON in a row; what the file holds may be anything."""
        try:
            found = json.loads(str(text))
        except ValueError:
            found = None
        if not isinstance(found, kind):
            raise damaged(self.path, what)
        return found

    def rewards(self) -> dict[int, list[RewardRow]]:
        """Return the results of each trial, without its children and rungs."""
        found = defaultdict[int, list[RewardRow]](list)
        further = "r.fidelity, r.control" if self._climbs else "1.0, 0"
        rows = self._rows(
            f"SELECT p.trial, proposal, r.status, reward, accuracy, loss, learning_rate, {further}, r.reason "
            "FROM rewards r JOIN proposals p ON p.id = r.proposal ORDER BY proposal"
        )
        for trial, number, status, *values, fidelity, control, reason in rows:
            numbers = isinstance(values[0], float) and isinstance(fidelity, float)
            if not numbers or not all(isinstance(value, float | None) for value in values):
                raise damaged(self.path, f"the reward of proposal {number}")
            row = RewardRow(number, status, *values, reason, (), fidelity, bool(control))  # type: ignore[arg-type, call-arg]  # checked
            found[int(str(trial))].append(row)
        return found

    def climbed(self) -> list[ClimbedRule]:
        """Return the rules of a search with rungs, in the order of asking; those that failed are left out."""
        if not self._climbs:
            return []
        rungs = defaultdict[object, list[tuple[float, float]]](list)
        for number, fidelity, reward in self._rows("SELECT proposal, fidelity, reward FROM rungs ORDER BY 1, 2"):
            if not isinstance(fidelity, float) or not isinstance(reward, float):
                raise damaged(self.path, f"a rung of proposal {number}")
            rungs[number].append((fidelity, reward))
        if not rungs:
            return []
        rows = self._rows("SELECT proposal, control, fidelity, reward FROM rewards WHERE status = 'trained' ORDER BY 1")
        return [
            ClimbedRule(
                number,  # type: ignore[arg-type]  # typed by the schema
                bool(control),
                float(str(fidelity)),
                float(str(reward)),
                tuple(share for share, _ in rungs[number]),
                tuple(value for _, value in rungs[number]),
            )
            for number, control, fidelity, reward in rows
        ]

    def last_update(self) -> int:
        """Return the number of the controller's last recorded update; 0 before the first."""
        return int(str(self._rows("SELECT coalesce(max(number), 0) FROM updates")[0][0]))

    def last_metrics(self) -> dict[str, float]:
        """Return what the controller said of its last recorded update; empty before the first."""
        rows = self._rows("SELECT number, metrics FROM updates ORDER BY number DESC LIMIT 1")
        return {} if not rows else self._json(rows[0][1], dict, f"update {rows[0][0]}")

    def counts(self) -> dict[str, int]:
        """Return how many proposals are new, duplicate and rejected; how many rules are trained, failed, and stopped at a rung."""
        found = self._rows("SELECT status, count(*) FROM proposals GROUP BY status")
        found += self._rows("SELECT status, count(*) FROM rewards GROUP BY status")
        counts = dict.fromkeys(("new", "duplicate", "rejected", "trained", "failed"), 0)
        counts |= {str(status): int(str(count)) for status, count in found}
        return counts | {"stopped": self._stopped()}

    def _stopped(self) -> int:
        if not self._climbs:
            return 0
        return int(str(self._rows("SELECT count(*) FROM rewards WHERE fidelity < 1.0")[0][0]))

    def best(self, count: int) -> list[FoundRule]:
        """Return the best rules that were trained in full: by reward, then by lower loss, then by age."""
        rows = self._rows(
            "SELECT p.id, p.rule, reward, accuracy, loss, learning_rate FROM rewards r JOIN proposals p ON p.id = r.proposal "
            f"WHERE r.status = 'trained' {self._full} ORDER BY reward DESC, loss IS NULL, loss, p.id LIMIT ?",
            count,
        )
        for _, rule, *values in rows:
            if not isinstance(rule, str) or not all(isinstance(value, float | None) for value in values):
                raise damaged(self.path, f"the reward of {rule!r:.80}")
        return [FoundRule(position, *row) for position, row in enumerate(rows, 1)]  # type: ignore[arg-type]  # checked

    def earned(self) -> list[tuple[tuple[int, ...], float]]:
        """Return the string and the reward of every rule that was trained in full, in the order of asking."""
        rows = self._rows(
            "SELECT p.id, tokens, reward FROM rewards r JOIN proposals p ON p.id = r.proposal "
            f"WHERE r.status = 'trained' {self._full} ORDER BY p.id"
        )
        for number, _, reward in rows:
            if not isinstance(reward, float):
                raise damaged(self.path, f"the reward of proposal {number}")
        found = [(self._json(tokens, list, f"the token string of proposal {number}"), r) for number, tokens, r in rows]
        return [(tuple(tokens), float(str(reward))) for tokens, reward in found]

    def failures(self, count: int) -> list[str]:
        """Return the reasons of the first rules that failed."""
        query = "SELECT reason FROM rewards WHERE status = 'failed' ORDER BY proposal LIMIT ?"
        return [str(reason) for (reason,) in self._rows(query, count)]

    def finalists(self) -> list[str]:
        """Return the table of finalists, a JSON text a row; empty before there is one."""
        return [str(row) for (row,) in self._rows("SELECT row FROM finalists ORDER BY position")]

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def create_ledger(path: Path, meta: Mapping[str, str] | None = None, facts: Mapping[str, str] | None = None) -> Ledger:
    """Start a ledger, with what the run is and in which environment, in one step.

    Raises:
        LedgerError: the file exists, or cannot be written.
    """
    return Ledger(path, create_file(path, meta or {}, facts or {}))


def open_ledger(path: Path, read_only: bool = True) -> Ledger:
    """Open the ledger of a run; one that is to be written is checked, and brought to the present schema.

    Raises:
        LedgerError: no such file, not a ledger, damaged, or written by a newer neuropt.
    """
    connection = open_file(path, read_only)
    try:
        return Ledger(path, connection)
    except LedgerError:
        connection.close()
        raise


def _reward_values(r: RewardRow) -> tuple[object, ...]:
    values = (r.proposal, r.status, r.reward, r.accuracy, r.loss, r.learning_rate, r.reason)
    return (*values, r.fidelity, int(r.control))


def _child_values(proposal: int, c: Child) -> tuple[object, ...]:
    return (proposal, c.learning_rate, c.seed, c.status, c.steps, c.train_loss, c.loss, c.accuracy)
