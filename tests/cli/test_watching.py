"""`neuropt status`, `neuropt top --watch` and the curves for TensorBoard, of a search that another process does."""

from __future__ import annotations

import fcntl
import json
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]  # generated at import

from neuropt.config import SearchConfig
from neuropt.searching import tensorboard
from neuropt.searching.run_folder import RunError, locked
from neuropt.searching.search import run_search
from tests.cli.running import run_here

SEARCH = [sys.executable, "-m", "neuropt", "search", "--executor", "in-process", "--steps", "10", "--finalists", "0"]


@pytest.fixture
def search(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A search for 60 rules that writes curves, as it begins."""
    command = [*SEARCH, "--rules", "60", "--tensorboard", "--run", str(tmp_path / "run")]
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout is not None
    child.stdout.readline()  # the ledger is there
    yield child
    child.kill()
    child.communicate()


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars in TensorBoard's files: records of a length, its checksum, an event and its checksum."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
    return found


def test_a_search_is_watched_to_its_end(
    search: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    during = json.loads(run_here(capsys, "status", str(folder), "--json").out)
    assert during["state"] == "searching"
    watched = run_here(capsys, "top", str(folder), "--watch", "-n", "3")
    assert watched.code == 0, watched.err
    assert search.wait(60) == 0
    after = json.loads(run_here(capsys, "status", str(folder), "--json").out)
    assert (after["state"], after["wanted"], after["trained"], after["training"]) == ("finished", 60, 60, 0)
    (best,) = json.loads(run_here(capsys, "top", str(folder), "-n", "1", "--json").out)
    assert after["best"] == best
    assert "finished" in watched.out, "it ends with the search"
    assert watched.out.count("position  proposal") >= 1

    found = curves(folder)
    assert set(found["reward/mean"]) == {20, 40, 60}, "a point for each trial of 20 rules"
    assert found["reward/best_so_far"][60] == pytest.approx(best["reward"])
    curves_of_all = {"controller/entropy", "search/rules_a_minute", "search/failed"}
    assert curves_of_all | {"proposals/duplicate", "proposals/rejected"} <= set(found)


def test_an_interrupted_run_says_how_to_go_on(
    search: subprocess.Popen[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    search.send_signal(signal.SIGINT)
    assert search.wait(60) == 130
    said = run_here(capsys, "status", str(folder)).out
    assert f"{folder}, interrupted" in said
    assert f"neuropt search --resume --run {folder}" in said
    subprocess.run([*SEARCH[:4], "--run", str(folder), "--resume"], check=True, capture_output=True)
    found = curves(folder)
    assert set(found["reward/best_so_far"]) == {20, 40, 60}, "what was replayed is not written again"


def test_looking_does_not_disturb_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    subprocess.run([*SEARCH, "--rules", "5", "--run", str(folder)], check=True, capture_output=True)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with locked(folder):  # as a search does
        assert json.loads(run_here(capsys, "status", str(folder), "--json").out)["state"] == "training finalists"
    run_here(capsys, "top", str(folder), "--watch")
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_who_looks_at_a_run_does_not_keep_a_search_from_it(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # as `neuropt status` does, for an instant
        timer = threading.Timer(0.02, fcntl.flock, (file, fcntl.LOCK_UN))
        timer.start()
        with locked(tmp_path), pytest.raises(RunError, match="in use"), locked(tmp_path):
            pass  # it was got, since nobody else gets it
        timer.join()


def test_a_search_writes_its_curves_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def writer(folder: str, **options: Any) -> SummaryWriter:
        opened.append(folder)
        return SummaryWriter(folder, **options)

    monkeypatch.setattr(tensorboard, "SummaryWriter", writer)
    space = SearchConfig(space="icml2017", groups=1, task="table:icml2017-digits-mlp", rules=20, finalists=0)
    run_search(replace(space, tensorboard=True), tmp_path / "run")
    assert opened == [str(tmp_path / "run" / "tensorboard")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("status", "nowhere"), "'nowhere' is no run"),
        (("top", "nowhere", "--watch"), "'nowhere' is no run"),
        (("top", "nowhere", "--watch", "--json"), "leave out --json"),
    ],
)
def test_what_cannot_be_watched(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run_here(capsys, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
