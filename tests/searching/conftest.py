from collections.abc import Iterator

import pytest

from neuropt.searching.tune_executor import TuneExecutor
from tests.searching.searches import TASK


@pytest.fixture(scope="session")
def executor() -> Iterator[TuneExecutor]:
    """Real Ray with two workers: one start for all tests."""
    executor = TuneExecutor(TASK, workers=2)
    yield executor
    executor.close()
