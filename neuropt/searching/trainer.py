"""A trainer: a fork of a guard's process that trains what it is sent, and that can be ended at any moment.

It may do anything: sleep, loop in C, allocate without end, raise, exit, crash. What it says is one line of JSON for each piece of work.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from neuropt.searching.fidelity import judge_of
from neuropt.searching.guard_process import AT_RUNG, STOP
from neuropt.searching.limits import GIB, Limits
from neuropt.searching.trainer_device import BROKEN, NO_ROOM, DeviceError, begin_device
from neuropt.tasks.task import Task, TaskData
from neuropt.training.work import Done, Trained, Work, do_work

WATCH_SECONDS = 0.1
"""So often the memory of a trainer is looked at."""
CLOSE_WATCH_SECONDS = 0.02
"""And so often where nothing else bounds it."""
BEGINNING_SECONDS = 60.0
"""For a device to begin."""
ENDING_SECONDS = 1.0
Ask = Callable[[bytes], bytes]
"""Takes what a rule has come to at a rung and returns GO_ON or STOP."""
_OUT_OF_MEMORY = ("MemoryError", "OutOfMemoryError", "not enough memory", "can't allocate memory", "out of memory")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a piece of work has no result.

    Args:
        reason: for the ledger.
        died: whether the process ended by itself, or by another's hand, and not for passing a limit.
    """

    reason: str
    died: bool = False


class Trainer:
    """The process, seen from its guard.

    Args:
        task, data: of all works.
        limits: of each child.
        foreign: connections of the guard that are not the trainer's.

    Raises:
        DeviceError: the limits' device cannot be used.
    """

    def __init__(self, task: Task, data: TaskData, limits: Limits, foreign: Sequence[Connection] = ()) -> None:
        self.limits = limits
        self.connection, theirs = Pipe()
        guard = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            for connection in (self.connection, *foreign):
                connection.close()
            _serve(theirs, task, data, limits, guard)
        theirs.close()
        self.room = self._begun() if limits.watched else None
        self.empty = _resident(self.pid)  # of what the device's library needs a child is not to blame

    def _begun(self) -> int | None:
        """Wait until the trainer has begun its device, and return how many children that has room for; None on a CPU."""
        try:
            if not self.connection.poll(BEGINNING_SECONDS):
                self.end()
                raise DeviceError(f"device {self.limits.device} did not begin within {BEGINNING_SECONDS:g} s")
            answer: dict[str, Any] | str = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            raise DeviceError(
                f"device {self.limits.device} ended the process that began it: {self.end(ending=True)}"
            ) from None
        if isinstance(answer, str) or "error" in answer:
            self.end()
            raise DeviceError(answer if isinstance(answer, str) else answer["error"])
        return None if answer["room"] is None else int(answer["room"])

    def train(self, work: Work, ask: Ask | None = None) -> Done | Broken:
        """Have the work done; a trainer that returns `Broken` has ended.

        Args:
            ask: of a work whose rungs are asynchronous, says what follows a rung; time that passes meanwhile is not the child's.
        """
        seconds = self.limits.seconds * sum(len(job.learning_rates) for job in work.jobs) * len(work.seeds)
        deadline = time.monotonic() + seconds
        try:
            self.connection.send_bytes(work.to_json().encode())
            while True:
                while not self.connection.poll(CLOSE_WATCH_SECONDS if self.limits.watched else WATCH_SECONDS):
                    if time.monotonic() > deadline:
                        self.end()
                        return Broken(
                            f"took longer than {seconds:g} s, {self.limits.seconds:g} s a child (--child-seconds)"
                        )
                    if _resident(self.pid) - self.empty > self.limits.memory:
                        return self._too_large()
                answer = self.connection.recv_bytes()
                if ask is None or not answer.startswith(AT_RUNG):
                    return self._read(answer)
                reached = time.monotonic()
                self.connection.send_bytes(ask(answer))
                deadline += time.monotonic() - reached
        except (EOFError, OSError):
            return Broken(f"ended its process: {self.end(ending=True)}", died=True)

    def _read(self, answer: bytes) -> Done | Broken:
        """Take an answer; it comes from a process in which anything may have happened."""
        try:
            done = Done.from_json(answer.decode())
        except (ValueError, TypeError, KeyError, AttributeError):
            self.end()
            text = answer[:200].decode(errors="replace").strip('"')
            return Broken(f"ended its process: {text}", died=True)
        failures = [trained.failure for trained in done.trained if trained.failure is not None]
        if broken := [failure for failure in failures if BROKEN in failure]:
            self.end()  # and perhaps rules failed that came after the one which broke it
            return Broken(broken[0], died=True)
        if any(NO_ROOM in failure for failure in failures):
            self.end()
            return Broken(f"needed more than its share of the GPU's memory, {self.limits.share:g} (--gpus-per-child)")
        if any(text in failure for failure in failures for text in _OUT_OF_MEMORY):
            return self._too_large()
        return done

    def _too_large(self) -> Broken:
        self.end()
        return Broken(f"needed more than {self.limits.memory / GIB:.3g} GiB of memory (--child-memory)")

    def end(self, ending: bool = False) -> str:
        """End the process and what it started, for certain, and return how it ended; one that is ending is given a second."""
        self.connection.close()
        deadline = time.monotonic() + (ENDING_SECONDS if ending else 0.0)
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        while not ended and time.monotonic() < deadline:
            time.sleep(0.001)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        if not ended:
            os.kill(self.pid, signal.SIGKILL)  # it may not have its group yet
            _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def end_with_parent(parent: int) -> None:
    """Have the system end this process when its parent ends, however that happens (Linux; elsewhere it ends when it next looks)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


# -- in the trainer ----------------------------------------------------------------------------------------------------------------


def _serve(connection: Connection, task: Task, data: TaskData, limits: Limits, guard: int) -> NoReturn:
    """Train what comes, and never return into the guard's code."""
    code = 1
    try:
        os.setpgid(0, 0)
        end_with_parent(guard)
        if limits.watched:
            connection.send_bytes(json.dumps(begin_device(limits, task, data)).encode())
        else:
            _limit_memory(limits.memory)
        while True:
            work = Work.from_json(connection.recv_bytes().decode())
            judge = judge_of(work, task, partial(_stops, connection))
            connection.send_bytes(do_work(work, task, data, judge).to_json().encode())
    except EOFError:
        code = 0
    except BaseException as error:  # noqa: BLE001  # SystemExit and the like; the guard records it
        with suppress(OSError):
            connection.send_bytes(json.dumps(f"{type(error).__name__}: {error}"[:200]).encode())
    finally:
        os._exit(code)


def _stops(connection: Connection, trained: Trained) -> bool:
    """Report what a rule has come to at a rung, and hear whether it stops."""
    connection.send_bytes(AT_RUNG + Done((trained,), 0.0).to_json().encode())
    return connection.recv_bytes() == STOP


def _limit_memory(added: int) -> None:
    """Let the system refuse private memory beyond what the process has and may add (Linux; elsewhere the guard only watches)."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        has = int(status.split("VmData:")[1].split()[0]) * 1024
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = has + added
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _resident(pid: int) -> int:
    """Return the bytes of memory that are a process's own or shared, files not counted; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return 1024 * sum(int(status.split(name)[1].split()[0]) for name in ("RssAnon:", "RssShmem:"))
    except (OSError, IndexError):
        return 0
