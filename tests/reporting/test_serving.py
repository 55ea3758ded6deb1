"""`neuropt report --watch`: the page of a search that another process does, on this machine only, until Ctrl-C."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neuropt.reporting.report import page_of
from neuropt.reporting.serving import LivePage
from tests.cli.running import run_here
from tests.reporting.reading import Parsed

SEARCH = [sys.executable, "-m", "neuropt", "search", "--executor", "in-process", "--steps", "10", "--finalists", "0"]


def hears_ctrl_c() -> None:
    """A shell's background jobs, and so tests run in one, ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server of a folder, and its port."""
    command = [sys.executable, "-m", "neuropt", "report", str(folder), "--watch", *arguments]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    )
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.fullmatch(rf"{re.escape(str(folder))}: http://127\.0\.0\.1:(\d+)/ \(Ctrl-C ends it\)\n", said)
        assert found, said
        yield server, int(found[1])
    finally:
        server.kill()
        server.communicate()


@contextmanager
def searching(folder: Path, rules: int) -> Iterator[subprocess.Popen[str]]:
    """A search in a folder, whose ledger is there."""
    command = [*SEARCH, "--rules", str(rules), "--run", str(folder)]
    search = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c)
    try:
        assert search.stdout is not None
        search.stdout.readline()
        yield search
    finally:
        search.kill()
        search.communicate()


def get(port: int, path: str, host: str | None = None) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


@pytest.mark.slow
def test_a_page_renews_itself_while_a_search_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with searching(folder, 200), served(folder) as (_, port):
        status, _, text = get(port, "/")
        assert status == 200
        seen = [Parsed(text).attributes("body", "data-live")[0]]
        ended = time.monotonic() + 240
        while "· finished" not in text and time.monotonic() < ended:
            status, headers, answer = get(port, f"/main?seen={seen[-1]}")
            assert status in (200, 304)
            if status == 200:
                assert headers["X-Version"] not in seen
                seen.append(headers["X-Version"])
                text = answer
            time.sleep(0.2)
        assert "200 trained rules" in text
        assert len(seen) > 1, "it changed while it was watched"
        assert get(port, f"/main?seen={seen[-1]}")[0] == 304, "nothing happens any more"


def test_a_server_gives_the_page_and_its_data_and_nothing_else_until_ctrl_c(run: Path) -> None:
    with served(run) as (server, port):
        status, headers, text = get(port, "/figure-reward.csv")
        assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert text.splitlines()[0].startswith("rule,proposal,reward,best_so_far")
        for path in (
            "/config.toml",
            "/ledger.sqlite",
            "/../config.toml",
            "/%2e%2e/config.toml",
            "/figure-.csv",
            "/x",
        ):
            assert get(port, path)[0] == 404, path
        assert get(port, "/", host=f"localhost:{port}")[0] == 200
        for foreign in ("example.org", f"example.org:{port}", "127.0.0.1.example.org", ""):
            assert get(port, "/", host=foreign)[0] == 403, foreign
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/")
        assert connection.getresponse().status == 501
        connection.close()
        with socket.socket() as elsewhere:
            elsewhere.settimeout(5)
            own = socket.gethostbyname(socket.gethostname())
            assert own.startswith("127.") or elsewhere.connect_ex((own, port)) != 0, "this machine only"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert server.communicate() == ("", "")


def test_a_port_that_is_taken_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run_here(capsys, "report", str(run), "--watch", "--port", str(port))
    assert ended.code == 2
    assert ended.err.startswith(f"neuropt report: error: port {port} cannot be used: ")
    assert ended.err.count("\n") == 1


def test_a_page_is_made_anew_only_when_something_changed(copied: Path) -> None:
    live = LivePage(copied)
    first = live.look()
    assert live.look() is first
    (copied / "new").write_text("new", encoding="utf-8")
    second = live.look()
    assert second is not first
    assert second.version == first.version, "what is shown is the same"


def test_looking_changes_nothing_in_a_run(copied: Path) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    page_of(copied)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
