"""The process of a guard, and how a Ray worker starts and asks it. A worker has threads and cannot fork; this process has none.

`python -m neuropt.searching.guard_process FD PARENT` speaks over an inherited connection: first the task, then pieces of work as JSON.
The worker's side needs no torch.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import neuropt

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Before torch and numpy are imported: a process with threads cannot be forked safely."""
NOT_BEGUN = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Has `torch.cuda.is_available()`, which a task's file may ask, not begin CUDA: forks of a process that has begun it cannot use it."""
ON_CPU = ("cpu", 1.0)

ENDING_SECONDS = 1.0
"""For a process that has closed its connection to end by itself, so that it can be said how."""
FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)

AT_RUNG, GO_ON, STOP = b"at a rung ", b"go on", b"stop"
"""What a guard says before the result so far of a rule that has reached a rung, and what it may be answered."""
LOST = b"its device: "
"""What a guard says before the reason why its device can no longer be used."""


class GuardDied(RuntimeError):
    """The guard itself was ended from outside; whoever asked may ask again elsewhere."""


class WorkerError(ValueError):
    """This machine cannot train what the driver wants: says why and names the machine."""


class GuardProcess:
    """A guard in a process of its own, which ends with this one.

    Args:
        task: pickled by the driver.
        data_dir: where its data are.
        limits: seconds and bytes of each child.
        facts: of the driver's environment; a guard with others is refused.
        device: where children train, and which share of its memory is theirs.

    Raises:
        WorkerError: other versions or data here than at the driver, no data, or a device that cannot be used here.
        GuardDied: it was ended.
    """

    def __init__(
        self,
        task: bytes,
        data_dir: Path | None,
        limits: tuple[float, int],
        facts: Mapping[str, str],
        device: tuple[str, float] = ON_CPU,
    ) -> None:
        self.at_rung = False
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env=os.environ
                | ONE_THREAD
                | NOT_BEGUN
                | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.DEVNULL,
            )
        try:
            answer = json.loads(self._ask(pickle.dumps((task, data_dir, limits, device))))
        except GuardDied:
            code = self.process.returncode
            if code in FROM_OUTSIDE:
                raise
            ended = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            raise self._refused(f"its guard ended while it loaded the task: {ended}") from None
        if "error" in answer:
            raise self._refused(answer["error"])
        for name, expected in facts.items():
            if answer["facts"].get(name) != expected:
                raise self._refused(f"{name} is {answer['facts'].get(name)}, but the driver has {expected}")

    def train(self, work: str) -> str:
        """Have a piece of work done, as JSON; up to a rung, where `at_rung` says so."""
        return self._answer(work.encode())

    def go_on(self) -> str:
        """Have a rule that is at a rung trained further."""
        return self._answer(GO_ON)

    def stop(self) -> None:
        """Have a rule that is at a rung trained no further."""
        while self.at_rung:  # again where its trainer died of it and it was begun anew
            self._answer(STOP)

    def _answer(self, message: bytes) -> str:
        answer = self._ask(message)
        if answer.startswith(LOST):
            raise self._refused(answer.removeprefix(LOST).decode())
        self.at_rung = answer.startswith(AT_RUNG)
        return answer.removeprefix(AT_RUNG).decode()

    def close(self) -> None:
        """End the process, and its trainer with it."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def _ask(self, message: bytes) -> bytes:
        try:
            self.connection.send_bytes(message)
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(ENDING_SECONDS)
            self.close()
            raise GuardDied(f"the guard of a worker on {platform.node()} ended: {self.process.returncode}") from None

    def _refused(self, reason: str) -> WorkerError:
        self.close()
        return cannot_train(reason)


def cannot_train(reason: str) -> WorkerError:
    """Return what is said of this machine."""
    return WorkerError(f"a worker on {platform.node()} cannot train: {reason}")


def in_a_line(error: BaseException) -> str:
    """Return what an exception says, on one line."""
    return f"{type(error).__name__}: {error}".split("\n")[0]


def environment(data_sha256: str) -> dict[str, str]:
    """Return what must be the same for driver and workers."""
    return {"neuropt": neuropt.__version__, "torch": version("torch"), "data_sha256": data_sha256}


def main() -> None:
    """Serve one Ray worker until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; this process ends with its worker
    connection = Connection(int(sys.argv[1]))
    try:
        from neuropt.searching.trainer import end_with_parent  # imports torch

        end_with_parent(int(sys.argv[2]))
        guard, sha256 = _guard(connection, *pickle.loads(connection.recv_bytes()))
    except BaseException as error:  # noqa: BLE001  # SystemExit too; said to the driver, and by it to the user
        with suppress(OSError):  # the worker is gone
            _say(connection, {"error": in_a_line(error)})
        return
    _serve(connection, guard, sha256)


def _serve(connection: Connection, guard: Any, sha256: str) -> None:
    """Do pieces of work until the worker is gone, or the device."""
    from neuropt.searching.trainer_device import DeviceError
    from neuropt.training.work import Work

    try:
        guard.begin()
    except DeviceError as error:
        _say(connection, {"error": str(error)})
        return
    _say(connection, {"facts": environment(sha256)})
    while True:
        try:
            work = Work.from_json(connection.recv_bytes().decode())
        except EOFError:
            return
        try:
            done = guard.train(work)
        except DeviceError as error:
            connection.send_bytes(LOST + str(error).encode())
            return
        connection.send_bytes(done.to_json().encode())


def _guard(
    connection: Connection, task: bytes, data_dir: Path | None, limits: tuple[float, int], device: tuple[str, float]
) -> tuple[Any, str]:
    import torch

    from neuropt.searching.guard import Guard
    from neuropt.searching.limits import Limits
    from neuropt.tasks.registry import load_unchecked
    from neuropt.training.threads import CHILD_THREADS

    torch.set_num_threads(CHILD_THREADS)
    known = pickle.loads(task)  # the driver's own, by way of Ray
    data = load_unchecked(known, data_dir)

    def ask(result: bytes) -> bytes:
        connection.send_bytes(result)
        return connection.recv_bytes()

    return Guard(known, data, Limits(*limits, *device, watched=device != ON_CPU), [connection], ask), data.sha256


def _say(connection: Connection, answer: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
