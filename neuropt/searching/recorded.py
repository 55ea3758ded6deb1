"""An executor that records what it does in the ledger, and does nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neuropt.searching.executor import Engine, Executor
from neuropt.searching.ledger import Ledger
from neuropt.training.work import Done, Work


class RecordedExecutor:
    """Does the works of finalists; those that the ledger holds already come from there.

    Args:
        executor: does what is left.
        ledger: of the run.
    """

    def __init__(self, executor: Executor, ledger: Ledger) -> None:
        self.executor, self.ledger = executor, ledger

    def search(self, engine: Engine) -> None:
        """Run the engine's trials; the engine records them itself."""
        self.executor.search(engine)

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Yield (position, result) of what is recorded, then of the rest as it is done."""
        known = self.ledger.works()
        waiting: list[int] = []
        for position, work in enumerate(works):
            if (text := known.get(work.to_json())) is not None:
                yield position, Done.from_json(text)
            else:
                waiting.append(position)
        for index, done in self.executor.map([works[position] for position in waiting]):
            position = waiting[index]
            self.ledger.write_work(works[position].to_json(), done.to_json())
            yield position, done

    def close(self) -> None:
        """Nothing: the executor belongs to the search."""
