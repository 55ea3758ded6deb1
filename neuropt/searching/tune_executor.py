"""Run a search on Ray Tune: trials are pieces of work, workers are actors that live as long as the search.

The engine is a Tune `Searcher`: Tune asks it for the next trial when an actor is free and hands it each result. Everything that must
survive is in the ledger, so Tune writes no checkpoints and loggers of its own. This is the one module that imports Ray's Tune.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from neuropt.searching.executor import Engine, Trial
from neuropt.tasks import load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.work import Done, Work, do_work

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
PACKAGES = ("neuropt", "controllers", "search_space")


class RayError(ValueError):
    """Ray cannot be started or reached: says why and what to do."""


class TuneExecutor:
    """Trains on the processes of a Ray cluster.

    Args:
        task: of all works.
        data_dir: where workers find its data.
        address: HOST:PORT of a running cluster; None starts one on this machine, for as long as the executor lives.
        workers: trials at the same time; None for every CPU.

    Raises:
        RayError: no cluster at the address.
    """

    def __init__(
        self, task: Task, data_dir: Path | None = None, address: str | None = None, workers: int | None = None
    ) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.task, self.data_dir = task, data_dir
        self.own = not ray.is_initialized()
        if self.own:
            _connect(address, workers)
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def search(self, engine: Engine) -> None:
        """Run the engine's trials until it is finished."""
        searcher = _EngineSearcher(engine)
        parameters: dict[str, Any] = {"task": self.task, "data_dir": self.data_dir}
        trainable = tune.with_resources(tune.with_parameters(_Worker, **parameters), {"cpu": 1})
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
                    callbacks=[],
                    failure_config=tune.FailureConfig(max_failures=2),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                ),
            )
            with _own_interrupt():
                tuner.fit()
        if searcher.error is not None:
            raise searcher.error
        if not searcher.finished:
            raise KeyboardInterrupt  # Tune ends quietly when it is interrupted

    def map(self, works: Sequence[Work]) -> Iterator[tuple[int, Done]]:
        """Do the works and yield (position, result) as they are done."""
        task, data_dir = ray.put(self.task), self.data_dir
        waiting = {_remote_work.remote(task, data_dir, work.to_json()): i for i, work in enumerate(works)}
        while waiting:
            ready, _ = ray.wait(list(waiting))
            for reference in ready:
                yield waiting.pop(reference), Done.from_json(ray.get(reference))

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self.own:
            ray.shutdown()


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Put the handler of Ctrl-C back: Tune installs its own and leaves it, and what comes after would not hear of Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


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


class _EngineSearcher(Searcher):  # type: ignore[misc]  # Ray has no annotations
    """The engine, as Tune sees it. What the engine raises ends the search and is raised again by the executor."""

    def __init__(self, engine: Engine | None) -> None:
        super().__init__()
        self._engine = engine
        self.numbers: dict[str, int] = {}
        self.finished = False
        self.error: BaseException | None = None

    def __reduce__(self) -> tuple[type[_EngineSearcher], tuple[None]]:
        # Tune pickles its searcher for a restore that we never do; an engine holds an open file
        return _EngineSearcher, (None,)

    @property
    def engine(self) -> Engine:
        """The search."""
        assert self._engine is not None
        return self._engine

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial, None for later, or FINISHED."""
        if self.error is not None:
            return Searcher.FINISHED
        try:
            trial = self.engine.next_trial()
        except BaseException as error:  # noqa: BLE001  # Tune would swallow it; the executor raises it
            self.error = error
            return Searcher.FINISHED
        if isinstance(trial, Trial):
            self.numbers[trial_id] = trial.number
            return {"work": trial.work.to_json()}
        self.finished = trial == "finished"
        return Searcher.FINISHED if self.finished else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Hand a result to the engine."""
        number = self.numbers.pop(trial_id, None)
        if number is None or self.error is not None:
            return
        try:
            if error or result is None or "done" not in result or "neuropt_result" not in result:
                self.engine.fail(number, "the worker died")
            else:
                self.engine.finish(number, Done.from_json(result["neuropt_result"]))
        except BaseException as raised:  # noqa: BLE001  # as in `suggest`
            self.error = raised

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is the record."""


class _Worker(tune.Trainable):  # type: ignore[misc]  # Ray has no annotations
    """An actor that loads the task once and trains one piece of work a trial."""

    def setup(self, config: dict[str, Any], task: Task | None = None, data_dir: Path | None = None) -> None:
        """Load the task's data, the first time."""
        assert task is not None  # `with_parameters` fills it in
        self.task, self.data_dir = task, data_dir
        self.data: TaskData = load_task_data(task, data_dir)
        self.work = config["work"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self.work = new_config["work"]
        return True

    def step(self) -> dict[str, Any]:
        """Train."""
        done = do_work(Work.from_json(self.work), self.task, self.data)
        return {"neuropt_result": done.to_json(), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a trial that is interrupted is trained again."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]  # Ray has no annotations
def _remote_work(task: Task, data_dir: Path | None, work: str) -> str:
    return do_work(Work.from_json(work), task, load_task_data(task, data_dir)).to_json()
