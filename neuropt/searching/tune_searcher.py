"""A search's engine, as Ray Tune sees it: Tune asks it for the next trial when a worker is free and hands it each result.

A trial whose worker died is begun again by Tune, once, on another worker. If that dies too, each of its rules gets a trial of its own, and
one that kills its workers twice alone is recorded as failed. A worker that cannot even begin ends the search: no other one could either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.search import Searcher

from neuropt.searching.ahead import Ahead
from neuropt.searching.executor import Engine, Trial
from neuropt.searching.guard_process import WorkerError
from neuropt.searching.ray_worker import ERROR, RESULT
from neuropt.training.work import Done, Trained, Work

RETRIES = 1
"""Times that Tune begins a trial again whose worker died."""
DIED = f"its worker died {1 + RETRIES} times while it was trained alone"


CANNOT_BEGIN = ("failed to import on the worker", "raised in its creation task")
"""What Ray says where our code cannot be imported on a node, or a worker cannot be made there."""
_REASON = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): .+$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one trial of Tune trains: a trial of the engine, or one rule of it.

    Args:
        number: of the engine's trial.
        position: of the rule in it; None for all of them.
        work: to be done.
    """

    number: int
    position: int | None
    work: Work


class EngineSearcher(Searcher):  # type: ignore[misc]  # Ray has no annotations
    """The engine. What it raises ends the search and is raised again by the executor."""

    def __init__(self, engine: Engine | None) -> None:
        super().__init__()
        self._engine = None if engine is None else Ahead(engine)
        self.running: dict[str, Piece] = {}
        self.waiting: list[Piece] = []
        self.brought: dict[str, dict[str, str]] = {}  # what trials brought that Tune has not ended yet
        self.apart: dict[int, dict[int, Done]] = {}  # trials whose rules are trained alone: what is there of them
        self.finished = False
        self.error: BaseException | None = None

    def __reduce__(self) -> tuple[type[EngineSearcher], tuple[None]]:
        # Tune pickles its searcher for a restore that we never do; an engine holds an open file
        return EngineSearcher, (None,)

    @property
    def engine(self) -> Ahead:
        """The search, one trial ahead of the workers."""
        assert self._engine is not None
        return self._engine

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, None for later, or FINISHED."""
        if self.error is not None:
            return Searcher.FINISHED
        if self.waiting:
            return self._begun(trial_id, self.waiting.pop(0))
        try:
            trial = self.engine.next_trial()
        except BaseException as error:  # noqa: BLE001  # Tune would swallow it; the executor raises it
            self.error = error
            return Searcher.FINISHED
        if isinstance(trial, Trial):
            return self._begun(trial_id, Piece(trial.number, None, trial.work))
        # while anything is running its rules may have to be trained apart, and Tune never asks again after FINISHED
        self.finished = trial == "finished" and not self.running
        return Searcher.FINISHED if self.finished else None

    def prepare(self) -> None:
        """Propose the next trial while workers train."""
        if self.error is None and self.running and not self.waiting:
            try:
                self.engine.prepare()
            except BaseException as error:  # noqa: BLE001  # as in `suggest`
                self.error = error

    def _begun(self, trial_id: str, piece: Piece) -> dict[str, str]:
        self.running[trial_id] = piece
        return {"work": piece.work.to_json()}

    def take(self, trial_id: str, result: dict[str, Any]) -> None:
        """Take what a trial brought out of what Tune keeps of it for as long as the search lasts."""
        self.brought[trial_id] = {key: result.pop(key) for key in (RESULT, ERROR) if key in result}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Hand a result to the engine."""
        piece, result = self.running.pop(trial_id, None), self.brought.pop(trial_id, {})
        if piece is None or self.error is not None:
            return
        try:
            if ERROR in result:
                raise WorkerError(result[ERROR])
            if error or RESULT not in result:
                self._died(piece)
            else:
                self._done(piece, Done.from_json(result[RESULT]))
        except BaseException as raised:  # noqa: BLE001  # as in `suggest`
            self.error = raised

    def failed(self, said: str) -> None:
        """Hear what Ray says of a worker that failed; dead ones are `on_trial_complete`'s."""
        if self.error is None and any(words in said for words in CANNOT_BEGIN):
            self.error = cannot_begin(said)

    def _died(self, piece: Piece) -> None:
        if piece.position is None and len(piece.work.jobs) > 1:
            self.apart[piece.number] = {}
            self.waiting += [Piece(piece.number, i, alone) for i, alone in enumerate(one_by_one(piece.work))]
        else:
            self._done(piece, died(piece.work.device))

    def _done(self, piece: Piece, done: Done) -> None:
        if piece.position is None:
            self.engine.finish(piece.number, done)
            return
        found = self.apart[piece.number]
        found[piece.position] = done
        if not any(p.number == piece.number for p in [*self.waiting, *self.running.values()]):
            self.engine.finish(piece.number, joined([found[i] for i in sorted(self.apart.pop(piece.number))]))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the record."""


class Taking(Callback):  # type: ignore[misc]  # Ray has no annotations
    """Has the searcher take what trials bring: Tune hands results over here to be changed, and keeps what is left of them."""

    def __init__(self, searcher: EngineSearcher) -> None:
        self.searcher = searcher

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Take."""
        self.searcher.take(trial.trial_id, result)


class Failing(Callback):  # type: ignore[misc]  # Ray has no annotations
    """Has the searcher hear why a worker failed, before the trial is begun again and after."""

    def __init__(self, searcher: EngineSearcher) -> None:
        self.searcher = searcher

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell."""
        self.searcher.failed(Path(trial.error_file).read_text(encoding="utf-8"))

    on_trial_error = on_trial_recover


class Preparing(Callback):  # type: ignore[misc]  # Ray has no annotations
    """Has the searcher propose after each step of Tune, when free workers have been given what was ready."""

    def __init__(self, searcher: EngineSearcher) -> None:
        self.searcher = searcher

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Propose."""
        self.searcher.prepare()


def one_by_one(work: Work) -> list[Work]:
    """Return a work of its own for each job."""
    return [replace(work, jobs=(job,)) for job in work.jobs]


def joined(parts: list[Done]) -> Done:
    """Return what `one_by_one` was cut from."""
    return Done(tuple(done.trained[0] for done in parts), sum(done.seconds for done in parts), parts[0].device)


def died(device: str) -> Done:
    """Return the result of a rule that killed its workers."""
    return Done((Trained((), DIED),), 0.0, device)


def cannot_begin(said: str) -> WorkerError:
    """Return the last error in what Ray says, on one line.

    >>> str(cannot_begin("ray::Worker() ...\\nModuleNotFoundError: No module named 'neuropt'\\n"))
    "a worker of Ray cannot begin: ModuleNotFoundError: No module named 'neuropt'"
    """
    reasons = _REASON.findall(said) or [said.strip().split("\n")[0]]
    return WorkerError(f"a worker of Ray cannot begin: {reasons[-1]}")
