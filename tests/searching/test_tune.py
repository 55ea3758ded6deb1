"""Real Ray: one start for the whole module."""

import getpass
import os
import signal
import socketserver
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from neuropt.config import SearchConfig
from neuropt.searching import cluster
from neuropt.searching.cluster import RayError, Resources, check_address
from neuropt.searching.executor import InProcessExecutor, Trial
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.tune_executor import TuneExecutor
from neuropt.training.work import Job, Work
from tests.cli.running import run_apart
from tests.searching.searches import DATA, SMALL, TASK, contents, open_engine, run_small

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own warnings are not ours to fix

WIDER = replace(SMALL, space="extended", groups=2)


@pytest.mark.parametrize("config", [SMALL, pytest.param(WIDER, marks=pytest.mark.slow)], ids=lambda c: c.space)
def test_tune_and_in_process_are_one_search(executor: TuneExecutor, tmp_path: Path, config: SearchConfig) -> None:
    tuned = run_small(config, tmp_path / "tune", executor)
    plain = run_small(config, tmp_path / "plain")
    assert contents(tuned.ledger) == contents(plain.ledger)


def test_the_next_trial_is_proposed_while_the_workers_train(executor: TuneExecutor, tmp_path: Path) -> None:
    engine = run_small(replace(SMALL, deterministic=False), tmp_path / "l", executor)
    first = [event.kind for event in engine.ledger.history()][:4]
    assert first == ["asked", "asked", "asked", "told"], "two for the workers, one that is ready"


def test_the_temporary_folder_of_a_finished_search_is_gone(
    executor: TuneExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    torchs = (
        f"torchinductor_{getpass.getuser()}"  # made where torch._dynamo is imported for the first time in a process
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    run_small(replace(SMALL, rules=6), tmp_path / "l", executor)
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name != torchs]


def test_map_returns_what_the_in_process_executor_returns(executor: TuneExecutor) -> None:
    works = [Work((Job(text, (0.01, 0.1)),), (1, 2), halving=False, test=True) for text in ("g", "adam")]
    expected = {position: done.trained for position, done in InProcessExecutor(TASK, DATA).map(works)}
    assert {position: done.trained for position, done in executor.map(works)} == expected


def test_a_schedule_reaches_the_workers(executor: TuneExecutor) -> None:
    jobs = (Job("g", (0.1,)), Job(None, (0.1,), "sgd"))
    works = [Work(jobs, (1, 2), halving=False, schedule=name) for name in ("constant", "linear", "snapshot")]
    found = {position: done.trained for position, done in executor.map(works)}
    assert found == {position: done.trained for position, done in InProcessExecutor(TASK, DATA).map(works)}
    losses = {found[position][0].children[0][0].loss for position in range(len(works))}
    assert len(losses) == len(works), "each schedule trains otherwise"


def test_a_ray_that_cannot_be_started_is_one_clear_error(tmp_path: Path) -> None:
    code = "from neuropt.searching.cluster import *\ntry: connect(None, 1, Resources())\nexcept RayError as error: print(error)"
    too_long = {
        "RAY_TMPDIR": str(tmp_path / ("x" * 120)),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # for a socket's path
    ended = run_apart("-c", code, cwd=tmp_path, env=os.environ | too_long)
    assert ended.out.startswith("Ray cannot be started here: "), ended.err
    assert ended.out.count("\n") == 1


@pytest.mark.parametrize(("cpus", "workers"), [(1.0, 2), (0.5, 5), (0.4, 3), (0.1, 1), (2.0, 3)])
def test_ray_is_started_with_room_for_every_worker_and_not_for_many_more(cpus: float, workers: int) -> None:
    started = Resources(cpus).cpus_of(workers)
    assert workers <= Resources(cpus).fit({"CPU": started}) < workers + 1 / cpus


class Interrupting:
    """Hears Ctrl-C while it is finalised, where Python ignores what is raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_that_python_ignored_is_heard_with_the_next_result(
    executor: TuneExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: ignored.append(lost.exc_type))
    results = executor.map([Work((Job("g", (0.1,)),), (seed,), halving=False) for seed in range(3)])
    next(results)
    Interrupting()
    assert ignored == [KeyboardInterrupt]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Unwritable:
    """An engine whose ledger breaks at the second trial."""

    def __init__(self, path: Path) -> None:
        self.engine = open_engine(SMALL, path)

    def next_trial(self) -> Trial | str:
        return self.engine.next_trial()

    def finish(self, number: int, done: object) -> None:
        raise LedgerError("the disk is full")


def test_what_the_engine_raises_ends_the_search_and_is_seen(executor: TuneExecutor, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="the disk is full"):
        executor.search(Unwritable(tmp_path / "l"))  # type: ignore[arg-type]  # a smaller engine


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "localhost:99999", "ray://127.0.0.1:10001", ":80"])
def test_a_wrong_address_is_one_clear_error_within_seconds(address: str) -> None:
    began = time.monotonic()
    with pytest.raises(RayError, match="address"):
        check_address(address)
    assert time.monotonic() - began < 10


class Page(socketserver.BaseRequestHandler):
    """A server of web pages, to which what a driver says is nonsense."""

    def handle(self) -> None:
        self.request.recv(100)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class Silence(socketserver.BaseRequestHandler):
    """A server that waits for more, until who asked goes away."""

    def handle(self) -> None:
        while self.request.recv(100):
            pass


@pytest.mark.parametrize("handler", [Page, Silence])
def test_an_address_where_something_else_answers_is_one_clear_error_within_seconds(
    monkeypatch: pytest.MonkeyPatch, handler: type[socketserver.BaseRequestHandler]
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        with pytest.raises(RayError, match=rf"^what answers at address '{address}' is no Ray cluster; .* 6379 unless"):
            check_address(address)
        server.shutdown()
        thread.join()


def test_a_cluster_is_told_from_other_servers(executor: TuneExecutor) -> None:
    check_address(ray.get_runtime_context().gcs_address)
