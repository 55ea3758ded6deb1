"""Run a search on Ray Tune: trials are pieces of work, workers are actors that live as long as the search.

Everything that must survive is in the ledger, so Tune writes no checkpoints and loggers of its own. Ray is imported here, in
`ray_worker` and in `tune_searcher` alone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.cloudpickle import dumps  # pyright: ignore[reportAttributeAccessIssue]  # Ray has no annotations
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError

from neuropt.searching.executor import Engine
from neuropt.searching.guard_process import GuardDied, WorkerError, environment
from neuropt.searching.limits import GIB, usual_seconds
from neuropt.searching.ray_worker import ERROR, REMOTE_WORK, RESULT, Order, Worker
from neuropt.searching.tune_searcher import RETRIES, EngineSearcher, Preparing, died, joined, one_by_one
from neuropt.tasks import load_task_data
from neuropt.tasks.task import Task
from neuropt.training.work import Done, Work

ENVIRONMENT = {
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # the ledger is the record
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # their files and memory grow with every trial
    "RAY_AIR_NEW_OUTPUT": "0",  # our own progress line
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative --data-dir means what the user typed
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns that this will be its default
}
"""Settings of Ray that belong to every search; those that the user set stay."""

CONNECT_SECONDS = 5.0
UNLIMITED = 2.0**32
"""GiB of memory for a worker where Ray does not know what its machine has."""
DEATHS = (WorkerCrashedError, NodeDiedError, ObjectLostError, OutOfMemoryError)
PACKAGES = ("neuropt", "controllers", "search_space")


class RayError(ValueError):
    """Ray cannot be started or reached: says why and what to do."""


class TuneExecutor:
    """Trains on the processes of a Ray cluster, each child within limits that are enforced: see `Guard`.

    Args:
        task: of all works.
        data_dir: where workers find its data.
        address: HOST:PORT of a running cluster; None starts one on this machine, for as long as the executor lives.
        workers: trials at the same time; None for every CPU.
        child_seconds: of wall-clock time that a child may take; None for `usual_seconds`.
        child_memory: GiB that training may add to a worker; None for an equal share of the machine's.

    Raises:
        RayError: no cluster at the address.
    """

    def __init__(
        self,
        task: Task,
        data_dir: Path | None = None,
        address: str | None = None,
        workers: int | None = None,
        child_seconds: float | None = None,
        child_memory: float | None = None,
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        data = load_task_data(task, data_dir)
        self.own = not ray.is_initialized()
        if self.own:
            _connect(address, workers)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        limits = (child_seconds or usual_seconds(task, data), int((child_memory or _share(self.workers)) * GIB))
        facts = tuple(environment(data.sha256).items())
        self.order = Order(dumps(task), data_dir, limits, facts)

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        searcher = EngineSearcher(engine)
        trainable = tune.with_resources(tune.with_parameters(Worker, order=self.order), {"cpu": 1})
        with tempfile.TemporaryDirectory(prefix="neuropt-tune-") as folder:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    reuse_actors=True,
                    max_concurrent_trials=self.workers,
                    trial_dirname_creator=_trial_folder,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=folder,
                    verbose=0,
                    callbacks=[Preparing(searcher)],
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
        order = ray.put(self.order)
        start = REMOTE_WORK.options(max_retries=RETRIES, retry_exceptions=[GuardDied])
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
        return _fetched(REMOTE_WORK.options(max_retries=0).remote(order, work.to_json())) or died()

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self.own:
            ray.shutdown()


def _fetched(reference: Any) -> Done | None:
    """Return a result, or None if its workers died."""
    try:
        answer: Mapping[str, str] = ray.get(reference)
    except (GuardDied, *DEATHS):
        return None
    if ERROR in answer:
        raise WorkerError(answer[ERROR])
    return Done.from_json(answer[RESULT])


def _share(workers: int) -> float:
    """Return the GiB of memory for a worker where none is given: the least that a node has for each trial on it."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and "memory" in node["Resources"]]
    shares = [float(node["memory"]) / min(workers, max(1.0, float(node.get("CPU", 1.0)))) for node in nodes]
    return min(shares) / GIB if shares else UNLIMITED


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


def _connect(address: str | None, workers: int | None) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"address": "local", "include_dashboard": False}
        if workers is not None:
            options["num_cpus"] = workers
    else:
        _check_address(address)
        options["address"] = address
    if not _is_installed():
        # a checkout on the driver only: the packages travel with the job
        options["runtime_env"] = {"py_modules": [str(_folder(package)) for package in PACKAGES]}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        reason = str(error).strip().split("\n")[0]
        raise RayError(f"no Ray cluster could be reached at address {address!r}: {reason}") from None


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for two minutes and then end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RayError(
            f"address must be HOST:PORT of a running Ray cluster, such as 10.0.0.1:6379, but got {address!r}"
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RayError(
            f"nothing answers at address {address!r} ({error.strerror or error}); is the cluster's head running there?"
        ) from None


def _is_installed() -> bool:
    """Whether workers on this machine can import us: always, unless the packages are found by the current folder alone."""
    return all("site-packages" in str(_folder(package)) for package in PACKAGES) or _is_editable()


def _is_editable() -> bool:
    try:
        return distribution("neuropt") is not None
    except PackageNotFoundError:
        return False


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _trial_folder(trial: Any) -> str:
    return str(trial.trial_id)
