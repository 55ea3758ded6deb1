from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from neuropt.tables.building import build_table
from neuropt.tables.config import TableConfig
from neuropt.tables.enumerating import Enumeration, enumerate_rules
from neuropt.tables.table import Table
from neuropt.tables.table_file import load_table
from neuropt.tasks import get_task, load_task_data
from neuropt.training.learning_rates import SCALED
from neuropt.training.recording import record_trajectory
from search_space import SearchSpace, Trajectory, load_space

TINY = TableConfig(space="tiny", groups=1, seeds=3, steps=20, executor="in-process")


@pytest.fixture(scope="session")
def trajectory() -> Trajectory:
    task = get_task("digits-mlp")
    return record_trajectory(task, load_task_data(task))


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return load_space("tiny", groups=1)


@pytest.fixture(scope="session")
def rules(space: SearchSpace, trajectory: Trajectory) -> Enumeration:
    return enumerate_rules(space, trajectory)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real table: 31 rules at 7 learning rates on 3 seeds, 20 steps."""
    return build_table(TINY, tmp_path_factory.mktemp("table") / "tiny.npz")


@pytest.fixture(scope="session")
def table(path: Path) -> Table:
    return load_table(path)


@pytest.fixture
def invented(rules: Enumeration, space: SearchSpace) -> Table:
    """A table whose numbers are none of any training: for each rule, all alike, and then what a test writes into it."""
    shape = (len(rules.rules), len(SCALED), 2)
    return Table(
        name="invented",
        space=space,
        task="digits-mlp",
        steps=1,
        seeds=(0, 1),
        base_rates=np.array(SCALED),
        worst_reward=0.0,
        best_reward=1.0,
        loss_bound=100.0,
        **{field.name: getattr(rules, field.name) for field in fields(Enumeration)},
        losses=np.full(shape, 2.0, np.float32),
        accuracies=np.full(shape, 0.25, np.float32),
    )
