"""What runs on Ray's workers: pieces of work go to a guard, and JSON comes back. No torch is imported here; the guard does that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray
from ray import tune

from neuropt.searching.guard_process import ON_CPU, GuardDied, GuardProcess, WorkerError, cannot_train, in_a_line

RESULT, ERROR = "neuropt_result", "neuropt_error"


@dataclass(frozen=True)
class Order:
    """What every worker of a search needs.

    Args:
        task: pickled.
        data_dir: where its data are.
        limits: seconds and bytes of each child.
        facts: what must be the same as at the driver, as pairs.
        device: where children train, and which share of it is a worker's.
    """

    task: bytes
    data_dir: Path | None
    limits: tuple[float, int]
    facts: tuple[tuple[str, str], ...]
    device: tuple[str, float] = ON_CPU

    def guard(self) -> GuardProcess:
        """Start a guard."""
        return GuardProcess(self.task, self.data_dir, self.limits, dict(self.facts), self.device)


class Worker(tune.Trainable):  # type: ignore[misc]  # Ray has no annotations
    """An actor that keeps a guard and has it train one piece of work a trial."""

    def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
        """Take the first trial; the guard starts with it."""
        assert order is not None  # `with_parameters` fills it in
        self.order, self.work = order, config["work"]
        self.guard: GuardProcess | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; the last one may have been stopped at a rung."""
        self.work = new_config["work"]
        if self.guard is not None:
            try:
                self.guard.stop()
            except GuardDied:
                self.guard = None
        return True

    def step(self) -> dict[str, Any]:
        """Have it trained, up to a rung or its end. A guard that was ended from outside raises, and Tune tries again on another actor."""
        try:
            if self.guard is None:
                self.guard = self.order.guard()
            found = self.guard.go_on() if self.guard.at_rung else self.guard.train(self.work)
            return {RESULT: found, "done": not self.guard.at_rung}
        except WorkerError as error:
            return {ERROR: str(error), "done": True}
        except GuardDied:
            raise
        except Exception as error:  # noqa: BLE001  # no other worker would do better
            return {ERROR: str(cannot_train(in_a_line(error))), "done": True}

    def cleanup(self) -> None:
        """End the guard."""
        if self.guard is not None:
            self.guard.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a trial that is interrupted is trained again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def remote_work(order: Order, work: str) -> Mapping[str, str]:
    """Have a piece of work trained in a Ray task; the process keeps its guard for the next one."""
    try:
        return {RESULT: _guard(order).train(work)}
    except WorkerError as error:
        return {ERROR: str(error)}
    except GuardDied:
        _guard.cache_clear()
        raise
    except Exception as error:  # noqa: BLE001  # no other worker would do better
        _guard.cache_clear()
        return {ERROR: str(cannot_train(in_a_line(error)))}


@lru_cache(maxsize=1)
def _guard(order: Order) -> GuardProcess:
    return order.guard()


REMOTE_WORK = ray.remote(remote_work)
