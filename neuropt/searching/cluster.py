"""Start Ray on this machine, or join a cluster. Whatever is wrong with an address, a token or a version is one line, within seconds."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from neuropt.searching.limits import GIB

ENVIRONMENT = {
    "TUNE_GLOBAL_CHECKPOINT_S": "100000000",  # the ledger is the record
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # their files and memory grow with every trial
    "RAY_AIR_NEW_OUTPUT": "0",  # our own progress line
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative --data-dir means what the user typed
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray warns that this will be its default
}
"""Settings of Ray that belong to every search; those that the user set stay."""

CONNECT_SECONDS = 5
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC begins, with an empty frame of settings, which a server answers with its own (RFC 9113, section 3.4)."""
_PATIENCE = "RAY_gcs_server_port_wait_time_s"
UNLIMITED = 2.0**32
"""GiB of memory for a worker where Ray does not know what its machine has."""
PACKAGES = ("neuropt", "controllers", "search_space")
_INSTALLED = {"site-packages", "dist-packages"}


class RayError(ValueError):
    """Ray cannot be started or reached: says why and what to do."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What Ray sets aside for a process that trains children.

    Args:
        cpus, gpus: fractions share one among several.
    """

    cpus: float = 1.0
    gpus: float = 0.0

    def fit(self, node: dict[str, float]) -> int:
        """Return how many such processes a node has room for.

        >>> Resources(2.0).fit({"CPU": 8.0}), Resources(0.5, 0.25).fit({"CPU": 8.0, "GPU": 1.0})
        (4, 4)
        """
        rooms = [
            int(node.get(name, 0.0) / need + 1e-9) for name, need in (("CPU", self.cpus), ("GPU", self.gpus)) if need
        ]
        return min(rooms)

    def cpus_of(self, workers: int) -> int:
        """Return how many CPUs a machine must have for so many such processes.

        >>> Resources(0.5).cpus_of(5), Resources(2.0).cpus_of(2)
        (3, 4)
        """
        return math.ceil(workers * self.cpus - 1e-9)


def connect(address: str | None, workers: int | None, resources: Resources) -> None:
    """Join the cluster at an address, or start Ray on this machine with room for some workers.

    Raises:
        RayError: nothing answers there, or refuses us.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"address": "local", "include_dashboard": False}
        if workers is not None:
            options["num_cpus"] = resources.cpus_of(workers)
    else:
        check_address(address)
        options["address"] = address
    if _travel(address):
        options["runtime_env"] = {"py_modules": [str(_folder(package)) for package in PACKAGES]}
    try:
        if address is None:
            ray.init(**options)
            return
        with _short_patience(), _quiet():
            ray.init(**options)
    except Exception as error:  # noqa: BLE001  # Ray raises bare ones too; the user reads its reason in one line
        raise RayError(_reason(address, error)) from None


def rooms(resources: Resources) -> int:
    """Return how many workers the cluster has room for now.

    Raises:
        RayError: for none.
    """
    nodes = _nodes()
    total = sum(resources.fit(node) for node in nodes)
    if total:
        return total
    for name, need, flag in (("GPU", resources.gpus, "gpus"), ("CPU", resources.cpus, "cpus")):
        most = max((node.get(name, 0.0) for node in nodes), default=0.0)
        if most < need:
            has = f"the most that one has is {most:g}" if most else f"no node has a {name}"
            raise RayError(
                f"each worker needs {need:g} {name} (--{flag}-per-child), but of {len(nodes)} nodes {has}; "
                "one that is still starting counts when it has joined"
            )
    raise RayError(f"no node of the cluster has {resources.cpus:g} CPU and {resources.gpus:g} GPU together")


def memory_share(resources: Resources, workers: int) -> float:
    """Return the GiB of memory for a worker where none is given: the least that a node has for each one on it."""
    nodes = [node for node in _nodes() if "memory" in node]
    shares = [node["memory"] / min(workers, max(1, resources.fit(node))) for node in nodes]
    return min(shares) / GIB if shares else UNLIMITED


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _reason(address: str | None, error: BaseException) -> str:
    said = f"{error} {error.__cause__ or ''}"
    if isinstance(error, AuthenticationError) or "InvalidAuthToken" in said:
        return (
            f"the cluster at address {address!r} takes a token that this process does not have: set RAY_AUTH_MODE=token, "
            "and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's own"
        )
    if "Version mismatch" in said:
        said = " ".join(said[said.index("Version mismatch") :].split())
        return f"the cluster at address {address!r} has other versions; install the same ones. {said}"
    where = (
        "Ray cannot be started here" if address is None else f"no Ray cluster could be reached at address {address!r}"
    )
    return f"{where}: {(str(error).strip() or type(error).__name__).splitlines()[0]}"


def check_address(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for two minutes and then end the process.

    Raises:
        RayError: it is none, or nothing answers, or something else than Ray.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise RayError(
            f"address must be HOST:PORT of a running Ray cluster, such as 10.0.0.1:6379, but got {address!r}"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS") == "1" or _speaks_grpc(connection):
                return
    except OSError as error:
        raise RayError(
            f"nothing answers at address {address!r} ({error.strerror or error}); is the cluster's head running there?"
        ) from None
    raise RayError(
        f"what answers at address {address!r} is no Ray cluster; the port is that of `ray start --head`, 6379 unless told otherwise"
    )


def _speaks_grpc(connection: socket.socket) -> bool:
    """Whether a server answers as that of a cluster's head does, whatever token it takes."""
    try:
        connection.sendall(_HELLO)
        return connection.recv(9)[3:4] == _HELLO[-6:-5]  # the kind of a frame
    except OSError:
        return False


@contextmanager
def _short_patience() -> Iterator[None]:
    """Have Ray try for seconds where a cluster refuses us, and not for 20 of them, unless the user said how long."""
    if _PATIENCE in os.environ:
        yield
        return
    os.environ[_PATIENCE] = str(CONNECT_SECONDS)
    try:
        yield
    finally:
        del os.environ[_PATIENCE]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray's C++ prints while it tries off the error stream: what is wrong is in the exception."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _travel(address: str | None) -> bool:
    """Whether our packages go along with the job: those of a checkout do, an editable install of it among them.

    Workers that are started here for us find an editable install by themselves.
    """
    if all(_INSTALLED & set(_folder(package).parts) for package in PACKAGES):
        return False
    return address is not None or not _is_known()


def _is_known() -> bool:
    """Whether Python finds us from any folder."""
    try:
        return distribution("neuropt") is not None
    except PackageNotFoundError:
        return False


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
