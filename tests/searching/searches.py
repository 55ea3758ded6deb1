"""Small searches that tests run for real."""

from pathlib import Path

from controllers import create_controller
from neuropt.config import SearchConfig
from neuropt.searching.engine import SearchEngine
from neuropt.searching.executor import Executor, InProcessExecutor
from neuropt.searching.ledger import Ledger, create_ledger, open_ledger
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import Proposer
from neuropt.tasks import get_task, load_task_data
from neuropt.training.recording import record_trajectory
from search_space import load_space

SMALL = SearchConfig(
    space="icml2017",
    groups=1,
    rules=24,
    rules_per_trial=6,
    steps=12,
    finalists=0,
    executor="in-process",
    deterministic=True,
    lag=2,
)
TASK = get_task(SMALL.task).with_budget(12)
DATA = load_task_data(TASK)


def open_engine(config: SearchConfig, path: Path, replay: bool = True) -> SearchEngine:
    """A search in a new ledger, or in the one that is there, replayed."""
    ledger = open_ledger(path, read_only=False) if path.exists() else create_ledger(path)
    space = load_space(config.space, groups=config.groups)
    trajectory = record_trajectory(TASK, DATA)  # fresh, as in a new process: it keeps what it computed
    proposer = Proposer(create_controller(config.controller, space, config.seed), space, trajectory)
    engine = SearchEngine(config, proposer, TASK, ledger, Progress(config.rules, None))
    if replay:
        engine.resume()
    return engine


def run_small(config: SearchConfig, path: Path, executor: Executor | None = None) -> SearchEngine:
    """Search to the end."""
    engine = open_engine(config, path)
    (executor or InProcessExecutor(TASK, DATA)).search(engine)
    return engine


def contents(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a ledger but times, machines and the order in which trials finished."""
    tables = {
        "proposals": "SELECT * FROM proposals ORDER BY id",
        "rewards": "SELECT * FROM rewards ORDER BY proposal",
        "rungs": "SELECT * FROM rungs ORDER BY proposal, fidelity",
        "children": "SELECT * FROM children ORDER BY proposal, learning_rate, seed",
        "updates": "SELECT * FROM updates ORDER BY number",
    }
    return {name: ledger.connection.execute(query).fetchall() for name, query in tables.items()}
