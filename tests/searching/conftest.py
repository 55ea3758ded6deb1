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
