"""Run a search on Ray Tune: trials are pieces of work, workers are actors that live as long as the search.

Everything that must survive is in the ledger, so Tune writes no checkpoints and loggers of its own. Ray is imported here, in
`ray_worker` and in `tune_searcher` alone.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.cloudpickle import dumps  # pyright: ignore[reportAttributeAccessIssue]  # Ray has no annotations
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayTaskError, WorkerCrashedError
from ray.tune.schedulers import TrialScheduler

from neuropt.searching.cluster import ENVIRONMENT, Resources, connect, memory_share, rooms
from neuropt.searching.executor import Engine
from neuropt.searching.guard_process import ON_CPU, GuardDied, WorkerError, environment
from neuropt.searching.limits import GIB, usual_seconds
from neuropt.searching.ray_worker import ERROR, REMOTE_WORK, RESULT, Order, Worker
from neuropt.searching.tune_folder import tune_folder
from neuropt.searching.tune_searcher import (
    RETRIES,
    EngineSearcher,
    Failing,
    Preparing,
    Taking,
    cannot_begin,
    died,
    joined,
    one_by_one,
)
from neuropt.tasks import load_task_data
from neuropt.tasks.task import Task
from neuropt.training.work import Done, Work

ONE_CPU = Resources()
DEATHS = (WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError)


class TuneExecutor:
    """Trains on the processes of a Ray cluster, each child within limits that are enforced: see `Guard`.

    Args:
        task: of all works.
        data_dir: where workers find its data.
        address: HOST:PORT of a running cluster; None starts one on this machine, for as long as the executor lives.
        workers: trials at the same time; None for as many as the cluster has room for, those of nodes that join later too.
        child_seconds: of wall-clock time that a child may take; None for `usual_seconds`.
        child_memory: GiB that training may add to a worker; None for an equal share of the machine's.
        resources: what Ray sets aside for each worker.
        scheduler: of Tune, which stops trials early; None trains every trial to its end.
        device: where the trials of a search train: cpu, or cuda on the GPUs of `resources`. What `map` does is done on CPUs.

    Raises:
        RayError: no cluster at the address, or no room in it for a worker.
    """

    def __init__(
        self,
        task: Task,
        data_dir: Path | None = None,
        address: str | None = None,
        workers: int | None = None,
        child_seconds: float | None = None,
        child_memory: float | None = None,
        resources: Resources = ONE_CPU,
        scheduler: TrialScheduler | None = None,
        device: str = "cpu",
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        data = load_task_data(task, data_dir)
        self.own = not ray.is_initialized()
        if self.own:
            connect(address, workers, resources)
        present = rooms(resources)
        # on a cluster Tune always asks for one trial more than there is room for, so that nodes that join are used
        self.workers = workers if workers is not None or address is not None else present
        self.resources, self.scheduler = resources, scheduler
        self.map_resources = resources if device == "cpu" else Resources(resources.cpus)
        seconds, facts = child_seconds or usual_seconds(task, data), tuple(environment(data.sha256).items())

        def order(needs: Resources, where: tuple[str, float]) -> Order:
            memory = child_memory or memory_share(needs, workers or rooms(needs))
            return Order(dumps(task), data_dir, (seconds, int(memory * GIB)), facts, where)

        self.order = order(resources, (device, min(1.0, resources.gpus)) if device != "cpu" else ON_CPU)
        self.map_order = self.order if device == "cpu" else order(self.map_resources, ON_CPU)

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        searcher = EngineSearcher(engine)
        callbacks: list[tune.Callback] = [Taking(searcher), Failing(searcher)]
        if self.workers is not None:  # on a cluster Tune is ahead itself
            callbacks.append(Preparing(searcher))
        trainable = tune.with_resources(
            tune.with_parameters(Worker, order=self.order), _request(self.resources, "cpu", "gpu")
        )
        with tune_folder() as folder:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=self.scheduler,
                    num_samples=-1,
                    reuse_actors=True,
                    max_concurrent_trials=self.workers,
                    trial_dirname_creator=_trial_folder,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    verbose=0,
                    callbacks=callbacks,
                    failure_config=tune.FailureConfig(max_failures=RETRIES),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                ),
            )
            logging.getLogger("ray.tune").setLevel(
                logging.CRITICAL
            )  # it prints tracebacks of what the ledger gives the reason of
            with _own_interrupt():
                tuner.fit()
        if searcher.error is not None:
            raise searcher.error
        if not searcher.finished:
            raise KeyboardInterrupt  # Tune ends quietly when it is interrupted

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Do the works and yield (position, result) as they are done."""
        order = ray.put(self.map_order)
        start = REMOTE_WORK.options(
            max_retries=RETRIES, retry_exceptions=[GuardDied], **_request(self.map_resources, "num_cpus", "num_gpus")
        )
        waiting = {start.remote(order, work.to_json()): i for i, work in enumerate(works)}
        with _noted_interrupts() as check:
            while waiting:
                ready, _ = ray.wait(list(waiting))
                for reference in ready:
                    position = waiting.pop(reference)
                    done = _fetched(reference)
                    yield position, done or joined([self._alone(order, work) for work in one_by_one(works[position])])
                    check()

    def _alone(self, order: Any, work: Work) -> Done:
        """Train what killed its workers together with others, or alone once more."""
        once = REMOTE_WORK.options(max_retries=0, **_request(self.map_resources, "num_cpus", "num_gpus"))
        return _fetched(once.remote(order, work.to_json())) or died(work.device)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self.own:
            ray.shutdown()


def _request(resources: Resources, cpus: str, gpus: str) -> dict[str, float]:
    """Return what a worker needs, under the names that a part of Ray gives it."""
    return {cpus: resources.cpus, **({gpus: resources.gpus} if resources.gpus else {})}


def _fetched(reference: Any) -> Done | None:
    """Return a result, or None if its workers died."""
    try:
        answer: Mapping[str, str] = ray.get(reference)
    except (GuardDied, *DEATHS):
        return None
    except RayTaskError as error:
        raise cannot_begin(str(error)) from None
    if ERROR in answer:
        raise WorkerError(answer[ERROR])
    return Done.from_json(answer[RESULT])


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Put the handler of Ctrl-C back: Tune installs its own and leaves it, and what comes after would not hear of Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _noted_interrupts() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C as well as raising it: Python ignores what is raised in a finaliser, and then the next check raises it."""
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _trial_folder(trial: Any) -> str:
    return str(trial.trial_id)
