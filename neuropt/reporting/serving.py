"""The report of a run as a page that renews itself while the search goes on, on this machine only.

    GET /                   the page
    GET /main?seen=VERSION  what it shows now, or 304 where that is VERSION
    GET /figure-NAME.csv    the data of a figure

Nothing else is served, no file is read for a request, and a request that was meant for another host is refused, so that no web site can
read the page through a name that it points at this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from neuropt.reporting.blocks import Page
from neuropt.reporting.rendering import render_main, render_page
from neuropt.reporting.report import find_folder, page_of, to_csv
from neuropt.searching.run_folder import LEDGER
from neuropt.searching.status import run_status

HOST = "127.0.0.1"
LOCAL = (HOST, "localhost")


class Shown(NamedTuple):
    """What a server shows: the page, its lower part as HTML, and a version that changes with it."""

    page: Page
    main: str
    version: str


class LivePage:
    """The page of a folder, made anew when something in the folder has changed.

    Args:
        folder: of a run or an evaluation.

    Raises:
        ValueError: it holds neither, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, Lock()
        self.state: object = None
        self.shown: Shown | None = None

    def look(self) -> Shown:
        """Return what is to be shown now."""
        with self.lock:
            state = self._state()
            if self.shown is None or state != self.state:
                page = page_of(self.folder)
                main = str(render_main(page))
                self.shown = Shown(page, main, hashlib.sha256(main.encode()).hexdigest()[:16])
                self.state = state
            return self.shown

    def _state(self) -> object:
        found = []
        for path in sorted(self.folder.iterdir()):
            with suppress(FileNotFoundError):  # SQLite's own files come and go, also with those who only read
                about = path.stat()
                if about.st_size and not path.name.endswith("-shm"):
                    found.append((path.name, about.st_mtime_ns, about.st_size))
        is_run = (self.folder / LEDGER).is_file()
        return found, run_status(self.folder).state if is_run else None  # a killed search changes no file


class Server(ThreadingHTTPServer):
    """Serves one live page."""

    def __init__(self, live: LivePage, port: int) -> None:
        self.live = live
        super().__init__((HOST, port), Handler)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # as its server makes it
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the page, its lower part, or the data of a figure."""
        host = self.headers.get("Host", "").rpartition(":")
        if (host[0] or host[2]) not in LOCAL:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "this page is for this machine only\n")
            return
        try:
            shown = self.server.live.look()
        except (ValueError, OSError) as error:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n")
            return
        asked = urlsplit(self.path)
        files = {f"/{figure.file}": figure for figure in shown.page.figures}
        if asked.path == "/":
            self._send(HTTPStatus.OK, "text/html", render_page(shown.page, live=shown.version))
        elif asked.path == "/main" and parse_qs(asked.query).get("seen") == [shown.version]:
            self._send(HTTPStatus.NOT_MODIFIED, "text/html", "")
        elif asked.path == "/main":
            self._send(HTTPStatus.OK, "text/html", shown.main, shown.version)
        elif asked.path in files:
            self._send(HTTPStatus.OK, "text/csv", to_csv(files[asked.path]))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is no such page here\n")

    def _send(self, status: HTTPStatus, kind: str, text: str, version: str = "") -> None:
        content = text.encode()
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            if version:
                self.send_header("X-Version", version)
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page asks every two seconds."""


def serve_report(folder: Path | str, port: int | None = None, say: Callable[[str], None] | None = None) -> None:
    """Serve the report of a run at 127.0.0.1 until Ctrl-C.

    Args:
        folder: of a run, or its name under `runs/`; or of an evaluation.
        port: None takes a free one.
        say: told the address.

    Raises:
        ValueError: no run, a damaged one, or a port that is not free.
    """
    if port is not None and not 1 <= port <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535, but got {port}")
    live = LivePage(find_folder(folder))
    live.look()  # what is wrong with it is said before anything is served
    try:
        server = Server(live, port or 0)
    except OSError as error:
        raise ValueError(
            f"port {port} cannot be used: {error.strerror or error}; leave it out for a free one"
        ) from None
    with server, suppress(KeyboardInterrupt):
        if say is not None:
            say(f"http://{HOST}:{server.server_address[1]}/")
        server.serve_forever(poll_interval=0.2)
