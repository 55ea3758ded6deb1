import signal
from collections.abc import Iterator

import pytest

from neuropt.searching.tune_executor import TuneExecutor
from tests.searching.searches import TASK


@pytest.fixture(scope="package")
def executor() -> Iterator[TuneExecutor]:
    """Real Ray with two workers: one start for all tests.

    Their files sort last, after those that fork: Ray brings threads into the process.
    """
    executor = TuneExecutor(TASK, workers=2)
    yield executor
    executor.close()


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """Hear Ctrl-C as a terminal's process does: a shell's background jobs, and so tests run in one, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
