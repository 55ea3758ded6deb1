"""Drivers of searches in processes of their own, which are forks of one that has imported what they need: a life costs no start of Python.

    with begin_drivers(environment) as drivers:
        driver = drivers.begin(["search", "--run", "runs/first"], errors=path)

`python -m tests.searching.drivers FD` is that one process. It runs nothing and has one thread; a fork runs `neuropt ARGUMENTS` as a shell's
command does, to the end of Python, and what it starts ends with it or does not.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from tests.cli.running import ROOT

IMPORTED = ("neuropt.searching.search", "torch._dynamo", "ray")
"""Most of what a search imports, and what torch imports in the first step of an optimizer.

Ray Tune is left to each: it brings a thread, of pyarrow's allocator.
"""


@dataclass
class Driver:
    """A search under way.

    Args:
        pid: of its process.
        connection: brings its exit code, once.
        errors: the file of its error stream.
    """

    pid: int
    connection: Connection
    errors: Path
    code: int | None = None

    def ended(self, seconds: float | None = 0.0) -> int | None:
        """Return its exit code, minus a signal that ended it; None if it goes on for so many seconds."""
        if self.code is None and self.connection.poll(seconds):
            self.code = self.connection.recv()
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it has not ended."""
        if self.ended() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def said(self) -> str:
        """Return its error stream so far."""
        return self.errors.read_text(encoding="utf-8")


class Drivers:
    """The process that forks drivers, one at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
        self.last: Driver | None = None

    def begin(self, arguments: Sequence[str], errors: Path) -> Driver:
        """Begin `neuropt ARGUMENTS`; the driver before it has ended."""
        self.connection.send((list(arguments), str(errors)))
        self.last = Driver(self.connection.recv(), self.connection, errors)
        return self.last

    def close(self) -> None:
        """End the process, and a driver that is under way."""
        if self.last is not None:
            self.last.send(signal.SIGKILL)
        self.connection.close()
        self.process.wait()


@contextmanager
def begin_drivers(environment: Mapping[str, str]) -> Iterator[Drivers]:
    """Start the process, for as long as the block."""
    drivers = Drivers(environment)
    try:
        yield drivers
    finally:
        drivers.close()


# -- in that process ---------------------------------------------------------------------------------------------------------------


def main(connection: Connection) -> int:
    """Fork drivers until nobody asks; in a driver, return its exit code."""
    for module in IMPORTED:
        importlib.import_module(module)
    while True:
        try:
            arguments, errors = connection.recv()
        except EOFError:
            return 0
        assert len(os.listdir("/proc/self/task")) == 1, "a process with threads cannot be forked safely"  # noqa: PTH208  # no paths
        pid = os.fork()
        if pid == 0:
            connection.close()
            return drive(arguments, errors)
        connection.send(pid)
        connection.send(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def drive(arguments: Sequence[str], errors: str) -> int:
    """Run a command line with the streams of a process of its own."""
    from neuropt.cli import main as neuropt

    with Path(os.devnull).open("r+b") as nowhere, Path(errors).open("wb") as file:
        for stream, number in ((nowhere, 0), (nowhere, 1), (file, 2)):
            os.dup2(stream.fileno(), number)
    return neuropt(arguments)


if __name__ == "__main__":
    sys.exit(main(Connection(int(sys.argv[1]))))
