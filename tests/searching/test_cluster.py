"""Clusters as people start them: `ray start` on each node, one token in every process, and `neuropt search --address`."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neuropt.searching.run_folder import best_rules

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEARCH = [
    "--space",
    "tiny",
    "--groups",
    "1",
    "--rules",
    "6",
    "--rules-per-trial",
    "2",
    "--steps",
    "10",
    "--finalists",
    "0",
]


def fresh_python(folder: Path) -> Path:
    """The Python of an environment with all that neuropt needs, and without neuropt."""
    venv.create(folder, with_pip=False)
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        target = packages(folder) / entry.name
        if "neuropt" not in entry.name and not target.exists():
            target.symlink_to(entry)
    python = folder / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import neuropt"], cwd="/", env=environment(None), capture_output=True, check=False
    )
    assert found.returncode == 1
    return python


def packages(folder: Path) -> Path:
    return next(folder.glob("lib/python3*/site-packages"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node that never heard of neuropt."""
    return fresh_python(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node with our wheel."""
    folder, built = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    python = fresh_python(folder)
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(packages(folder))
    return python


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def environment(token: str | None) -> dict[str, str]:
    """What a shell on a node exports."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH"))}
    ours |= {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    return ours | ({} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token})


def token() -> str:
    return secrets.token_hex(32)


START = "import sys, ray; {claim}; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"


@contextmanager
def node(python: Path, env: dict[str, str], *arguments: str, version: str | None = None) -> Iterator[None]:
    """`ray start ARGUMENTS --block` as a process of its own, which ends with the block, and all of its processes with it."""
    claim = "pass" if version is None else f"ray.__version__ = {version!r}"
    command = [str(python), "-c", START.format(claim=claim), "start", "--block", "--num-cpus", "1", *arguments]
    process = subprocess.Popen(
        command, env=env, cwd="/", start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        assert any("Ray runtime started" in line for line in process.stdout), "it has joined"
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=20)
        finally:
            with_group(process.pid)


def with_group(pid: int) -> None:
    """End what a process of ours left behind in its group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def cluster(python: Path, env: dict[str, str]) -> Iterator[str]:
    """A head that trains nothing and a node that does; yields the address."""
    address = f"127.0.0.1:{free_port()}"
    with node(python, env, *head_at(address)), node(python, env, "--address", address):
        yield address


def head_at(address: str) -> tuple[str, ...]:
    """What `ray start` is told where a head begins that trains nothing."""
    return ("--head", "--port", address.partition(":")[2], "--include-dashboard", "false", "--num-cpus", "0")


def search(
    python: Path, env: dict[str, str], address: str, run: Path, *more: str, cwd: Path = ROOT
) -> tuple[int, str, str]:
    command = [str(python), "-m", "neuropt", "search", *SEARCH, "--address", address, "--run", str(run), *more]
    began = time.monotonic()
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=180, check=False)
    assert not done.returncode or time.monotonic() - began < 60, "a clear error within seconds"
    return done.returncode, done.stdout, done.stderr


def rewards(run: Path) -> list[float]:
    return [rule.reward for rule in best_rules(run, 99)]


def test_an_installed_wheel_searches_and_what_a_cluster_refuses_is_one_clear_line(
    installed: Path, tmp_path: Path
) -> None:
    env = environment(token())
    with cluster(installed, env) as address:
        code, _, error = search(installed, env, address, tmp_path / "run", cwd=tmp_path)
        assert (code, error) == (0, "")
        assert len(rewards(tmp_path / "run")) == 6
        for number, (other, more, says) in enumerate(
            [
                (environment(token()), (), "takes a token that this process does not have: set RAY_AUTH_MODE=token"),
                (environment(None), (), "takes a token that this process does not have: set RAY_AUTH_MODE=token"),
                (
                    env,
                    ("--gpus-per-child", "0.5"),
                    "each worker needs 0.5 GPU (--gpus-per-child), but of 2 nodes no node has a GPU",
                ),
                (
                    env,
                    ("--cpus-per-child", "4"),
                    "each worker needs 4 CPU (--cpus-per-child), but of 2 nodes the most that one has is 1",
                ),
            ]
        ):
            code, _, error = search(installed, other, address, tmp_path / str(number), *more, cwd=tmp_path)
            assert code == 2, error
            assert says in error
            assert error.count("\n") == 1
    code, _, error = search(installed, env, address, tmp_path / "ended", cwd=tmp_path)
    assert code == 2
    assert "nothing answers at address" in error
    assert not (tmp_path / "ended").exists(), "nothing was begun"


def test_a_cluster_of_an_older_ray_is_refused(bare: Path, tmp_path: Path) -> None:
    env, address = environment(token()), f"127.0.0.1:{free_port()}"
    with node(bare, env, *head_at(address), version="2.31.0"):
        code, _, error = search(bare, env, address, tmp_path / "run")
    assert code == 2
    assert (
        "has other versions; install the same ones. Version mismatch: The cluster was started with: Ray: 2.31.0"
        in error
    )
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def unaware(bare: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of nodes that never heard of neuropt, and what a shell there exports; for the last tests, since it ends with them."""
    env = environment(token())
    with cluster(bare, env) as address:
        yield address, env


def test_an_older_ray_on_a_node_is_refused_where_it_wants_to_join(
    bare: Path, unaware: tuple[str, dict[str, str]]
) -> None:
    address, env = unaware
    command = [str(bare), "-c", START.format(claim="ray.__version__ = '2.31.0'"), "start", "--address", address]
    began = time.monotonic()
    ended = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "Version mismatch" in ended.stdout + ended.stderr
    assert "Ray: 2.31.0" in ended.stdout + ended.stderr
    assert time.monotonic() - began < 30


def test_a_checkout_on_the_driver_alone_searches_on_nodes_that_never_heard_of_us(
    bare: Path, unaware: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, env = unaware
    code, _, error = search(bare, env, address, tmp_path / "run")
    assert (code, error) == (0, "")
    assert len(rewards(tmp_path / "run")) == 6


def test_an_editable_install_on_the_driver_alone_travels_as_a_checkout_does(
    unaware: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    driver, there = fresh_python(tmp_path / "driver"), packages(tmp_path / "driver")
    (there / "neuropt.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    facts = there / "neuropt-0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: neuropt\nVersion: 0\n", encoding="utf-8")
    address, env = unaware
    code, _, error = search(driver, env, address, tmp_path / "run", cwd=tmp_path)
    assert (code, error) == (0, "")
    assert len(rewards(tmp_path / "run")) == 6


def test_a_node_without_our_packages_is_one_clear_line(
    installed: Path, unaware: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, env = unaware
    code, _, error = search(installed, env, address, tmp_path / "run", cwd=tmp_path)
    assert (code, error.count("\n")) == (2, 1), error
    assert "a worker of Ray cannot begin: ModuleNotFoundError: No module named" in error
    evaluation = ["evaluate", "sgd", "--tasks", "digits-mlp", "--seeds", "1", "--tune-seeds", "1", "--trials", "5"]
    command = [str(installed), "-m", "neuropt", *evaluation, "--executor", "tune", "--address", address]
    ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "a worker of Ray cannot begin: ModuleNotFoundError: No module named" in ended.stderr.splitlines()[-1]
