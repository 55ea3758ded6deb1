from pathlib import Path

import pytest

from neuropt.config import SearchConfig
from neuropt.searching.search import run_search
from tests.reporting.folders import Written, write_evaluation

CONFIG = SearchConfig(
    rules=30, rules_per_trial=10, steps=12, finalists=2, finalist_seeds=6, executor="in-process", seed=3
)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search with finalists."""
    return run_search(CONFIG, tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """An evaluation of three optimizers under two schedules on two tasks."""
    return write_evaluation(tmp_path_factory.mktemp("evaluations") / "three")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be damaged."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    return folder
