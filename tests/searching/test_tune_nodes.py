"""A cluster of several real nodes on this machine, of which one dies while it trains and another one joins."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from neuropt.searching.cluster import Resources
from neuropt.searching.engine import SearchEngine
from neuropt.searching.executor import Trial
from neuropt.searching.guard_process import WorkerError
from neuropt.searching.run_folder import best_rules
from neuropt.searching.search import run_search
from neuropt.searching.tune_executor import TuneExecutor
from neuropt.training.work import Done, Job, Work
from tests.searching.searches import SMALL, TASK, contents, open_engine, run_small

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray's own warnings are not ours to fix

QUICK = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@contextmanager
def small_cluster(monkeypatch: pytest.MonkeyPatch, nodes: int) -> Iterator[Cluster]:
    """A head without CPUs, and some nodes with one each, and with what Ray is told is a GPU."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    ray.shutdown()  # of other tests
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, num_gpus=1)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with small_cluster(monkeypatch, 2) as cluster:
        yield cluster


class Losing:
    """A search that loses a node while both of its nodes train, and gets another."""

    def __init__(self, engine: SearchEngine, cluster: Cluster) -> None:
        self.engine, self.cluster = engine, cluster
        self.trials: list[int] = []
        self.full: float | None = None
        self.lost = False

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        trial = self.engine.next_trial()
        if isinstance(trial, Trial):
            self.trials.append(trial.number)
        elif self.full is None:
            self.full = time.monotonic()
        if self.full is not None and not self.lost and time.monotonic() > self.full + 0.3:
            assert len(self.engine.under_way) == SMALL.lag, "both nodes have a trial"
            self.cluster.remove_node(self.cluster.list_all_nodes()[1], allow_graceful=False)
            self.cluster.add_node(num_cpus=1)
            self.lost = True
        return trial

    def finish(self, number: int, done: Done) -> None:
        self.engine.finish(number, done)


def test_a_search_whose_node_dies_while_it_trains_equals_one_that_lost_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    executor = TuneExecutor(
        TASK, address=cluster.address, workers=3
    )  # one more than there are CPUs, so that Tune keeps asking
    engine = open_engine(SMALL, tmp_path / "nodes")
    losing = Losing(engine, cluster)
    executor.search(losing)
    executor.close()
    assert losing.lost
    assert len(losing.trials) == len(set(losing.trials)), "Tune began the lost trial again, not the engine"
    assert contents(engine.ledger) == contents(run_small(SMALL, tmp_path / "plain").ledger)
    assert engine.ledger.counts()["trained"] == SMALL.rules


class Growing:
    """A search that gets a second node after its first result; notes how many CPUs and GPUs are set aside for it at most."""

    def __init__(self, engine: SearchEngine, cluster: Cluster) -> None:
        self.engine, self.cluster = engine, cluster
        self.grown, self.most = False, {"CPU": 0.0, "GPU": 0.0}

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        present, free = ray.cluster_resources(), ray.available_resources()
        self.most = {name: max(most, present.get(name, 0) - free.get(name, 0)) for name, most in self.most.items()}
        return self.engine.next_trial()

    def finish(self, number: int, done: Done) -> None:
        if not self.grown:
            assert self.most == {"CPU": 1, "GPU": 0.25}
            self.cluster.add_node(num_cpus=1, num_gpus=1)
            self.grown = True
        self.engine.finish(number, done)


def test_a_node_that_joins_is_used_without_a_restart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with small_cluster(monkeypatch, 1) as cluster:
        executor = TuneExecutor(TASK, address=cluster.address, resources=Resources(1.0, 0.25))
        config = replace(SMALL, rules=96, lag=8)
        growing = Growing(open_engine(config, tmp_path / "nodes"), cluster)
        executor.search(growing)
        executor.close()
    assert growing.most == {"CPU": 2, "GPU": 0.5}
    assert contents(growing.engine.ledger) == contents(run_small(config, tmp_path / "plain").ledger)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_a_node_only_claims_ends_the_search_in_one_line_and_the_run_goes_on_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with small_cluster(monkeypatch, 1) as cluster:
        on_cpus = replace(SMALL, deterministic=False, rules=6)
        config = replace(on_cpus, executor="tune", address=cluster.address, device="cuda", gpus_per_child=0.25)
        began = time.monotonic()
        said = (
            r"^a worker on \S+ cannot train: torch \S+ sees no CUDA device there, .*CUDA_VISIBLE_DEVICES is '0'[^\n]*$"
        )
        with pytest.raises(WorkerError, match=said):
            run_search(config, tmp_path / "run")
        assert time.monotonic() - began < 60, "seconds, where no other work is on the machine"
        executor = TuneExecutor(TASK, address=cluster.address, resources=Resources(1.0, 0.25), device="cuda")
        assert executor.map_resources == Resources(1.0), "finalists train on CPUs and wait for no GPU"
        done = dict(executor.map([Work((Job("g", (0.1,)),), (0,))]))[0]
        assert (done.device, done.trained[0].failure) == ("cpu", None)
        executor.close()
    run_search(on_cpus, tmp_path / "run", resume=True, accept_changes=True, given=("device", "executor", "address"))
    assert len(best_rules(tmp_path / "run", 99)) == config.rules, "none was blamed"
