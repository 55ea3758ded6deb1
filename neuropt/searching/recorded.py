"""Finalists in the ledger: an executor that records what it does and does nothing twice, and the rows of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from neuropt.evaluating.row import Row
from neuropt.searching.executor import Engine, Executor
from neuropt.searching.ledger import Ledger
from neuropt.searching.ledger_file import LedgerError, damaged
from neuropt.training.work import Done, Work


class Works(Protocol):
    """What keeps works and what came of them: the ledger of a run, or a task's part of an evaluation's."""

    def works(self) -> dict[str, str]:
        """Return what is done, as JSON."""
        ...

    def write_work(self, work: str, done: str) -> None:
        """Record what is done now."""
        ...

    def damaged_work(self, work: str) -> LedgerError:
        """Return the error of a work whose result cannot be read."""
        ...


class RecordedExecutor:
    """Does works, such as those of finalists; those that the ledger holds already come from there.

    Args:
        executor: does what is left.
        ledger: of the run or the evaluation.
    """

    def __init__(self, executor: Executor, ledger: Works) -> None:
        self.executor, self.ledger = executor, ledger

    def search(self, engine: Engine) -> None:
        """Run the engine's trials; the engine records them itself."""
        self.executor.search(engine)

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Yield (position, result) of what is recorded, then of the rest as it is done; works that are the same are one."""
        known = self.ledger.works()
        waiting: dict[str, list[int]] = {}
        for position, work in enumerate(works):
            if (text := known.get(work.to_json())) is not None:
                yield position, self._read(work, text)
            else:
                waiting.setdefault(work.to_json(), []).append(position)
        texts = list(waiting)
        for index, done in self.executor.map([works[waiting[text][0]] for text in texts]):
            self.ledger.write_work(texts[index], done.to_json())
            yield from ((position, done) for position in waiting[texts[index]])

    def _read(self, work: Work, text: str) -> Done:
        try:
            return Done.from_json(text)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self.ledger.damaged_work(work.to_json()) from None

    def close(self) -> None:
        """Nothing: the executor belongs to the search."""


def finalist_rows(ledger: Ledger) -> list[Row]:
    """Return the table of finalists; empty before there is one.

    Raises:
        LedgerError: a row that cannot be read.
    """
    return [_row(ledger, position, text) for position, text in enumerate(ledger.finalists(), 1)]


def _row(ledger: Ledger, position: int, text: str) -> Row:
    try:
        return Row.from_json(text)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise damaged(ledger.path, f"row {position} of table finalists") from None
