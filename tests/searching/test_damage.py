"""Ledgers that are damaged, foreign, full, read-only or in use: one clear error that names the file, and nothing overwritten."""

import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controllers import create_controller
from neuropt.searching.ledger import Ledger, open_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.run_folder import RunError, best_rules, save_controller
from neuropt.searching.search import run_search
from search_space import load_space
from tests.searching.killing import CONFIG
from tests.searching.searches import contents
from tests.searching.test_run_search import CONFIG as SMALLEST


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return run_search(SMALLEST, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return shutil.copytree(finished, tmp_path / "run")


@contextmanager
def database(run: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:
        yield connection


def files(run: Path) -> dict[str, bytes]:
    # SQLite leaves an empty log and an index of it where it could not read a file
    return {path.name: path.read_bytes() for path in run.iterdir() if not path.name.startswith("ledger.sqlite-")}


# -- damage ------------------------------------------------------------------------------------------------------------------------


FIRST = "(SELECT min(proposal) FROM rewards)"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE proposals SET tokens = '[1, 2' WHERE id = 0", "the token string of proposal 0"),
        ("UPDATE proposals SET tokens = '[1, null]' WHERE id = 0", "proposal 0"),
        ("UPDATE proposals SET tokens = 7 WHERE id = 0", "the token string of proposal 0"),
        (f"UPDATE rewards SET reward = 'much' WHERE proposal = {FIRST}", r"the reward of proposal \d+"),
        (f"DELETE FROM rewards WHERE proposal = {FIRST}", "the rewards of trial 0"),
        ("UPDATE environments SET facts = '{'", "environment 1"),
        ("UPDATE meta SET value = '[[1' WHERE key = 'warm_start'", r"what the search began from \(table meta\)"),
        ("UPDATE works SET done = '{}'", r"row \d+ of table works"),
        ("UPDATE works SET done = 'nothing'", r"row \d+ of table works"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(run: Path, damage: str, what: str) -> None:
    with database(run) as connection:
        connection.execute("DELETE FROM finalists")  # not finished, so that a resumed search reads everything
        connection.execute(damage)
    before = contents_of(run)
    expected = (
        rf"{re.escape(str(run))}/ledger\.sqlite is damaged: {what} cannot be read; nothing was changed\. Keep a copy"
    )
    with pytest.raises(LedgerError, match=expected):
        run_search(SMALLEST, run, resume=True)
    assert contents_of(run) == before


def contents_of(run: Path) -> dict[str, list[tuple[object, ...]]]:
    with database(run) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


@pytest.mark.parametrize("row", ["{", "[]", '{"task": "digits-mlp"}'])
def test_a_damaged_table_of_finalists_is_named(run: Path, row: str) -> None:
    with database(run) as connection:
        connection.execute("UPDATE finalists SET row = ?", (row,))
    with pytest.raises(LedgerError, match=r"ledger\.sqlite is damaged: row 1 of table finalists cannot be read"):
        run_search(SMALLEST, run, resume=True)


def read_everything(ledger: Ledger) -> None:
    for read in (ledger.history, ledger.proposals, ledger.rewards, ledger.counts, ledger.last_update):
        read()
    for read_of_finalists in (ledger.environments, ledger.works, ledger.finalists):
        read_of_finalists()
    ledger.best(99)


def test_a_page_of_rubbish_is_noticed_before_anything_is_written(run: Path) -> None:
    path = run / "ledger.sqlite"
    content = path.read_bytes()
    for first in range(0, len(content), 4096):
        broken = content[:first] + b"\xa5" * 4096 + content[first + 4096 :]
        path.write_bytes(broken)
        with pytest.raises(LedgerError, match=re.escape(str(path))), closing(open_ledger(path, read_only=False)) as it:
            read_everything(it)
        assert path.read_bytes() == broken


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_ledger_is_refused_by_a_resumed_search(run: Path, share: float) -> None:
    path = run / "ledger.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    before = files(run)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        run_search(SMALLEST, run, resume=True)
    assert files(run) == before


# -- full disks --------------------------------------------------------------------------------------------------------------------


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse writes beyond a size of file, as a quota or a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_search_that_ran_out_of_disk_goes_on_when_there_is_space(tmp_path: Path) -> None:
    run = tmp_path / "full" / "run"
    expected = rf"{re.escape(str(run))}/ledger\.sqlite: disk I/O error; nothing was changed\. Check the disk \(.*free space.*--resume"
    with files_up_to(130_000), pytest.raises(LedgerError, match=expected):
        run_search(CONFIG, run)
    told = [event for event in open_ledger(run / "ledger.sqlite").history() if event.kind == "told"]
    assert 0 < len(told) < CONFIG.rules // int(CONFIG.rules_per_trial), "it stopped in the middle"
    run_search(CONFIG, run, resume=True)
    whole = run_search(CONFIG, tmp_path / "whole" / "run")
    with closing(open_ledger(run / "ledger.sqlite")) as one, closing(open_ledger(whole / "ledger.sqlite")) as other:
        assert contents(one) == contents(other)
        assert one.finalists() == other.finalists()


def test_a_full_database_says_so_and_keeps_what_it_has(run: Path) -> None:
    with closing(open_ledger(run / "ledger.sqlite", read_only=False)) as ledger:
        before = ledger.works()
        ledger.connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the present number of pages
        with pytest.raises(LedgerError, match=r"database or disk is full; nothing was changed\. Free space"):
            ledger.write_work("work", "x" * 1_000_000)
        assert ledger.works() == before


@pytest.mark.parametrize("size", [0, 100, 20_000])
def test_a_disk_that_is_full_from_the_start_leaves_nothing_half_made(tmp_path: Path, size: int) -> None:
    run = tmp_path / "run"
    with files_up_to(size), pytest.raises((RunError, LedgerError), match=re.escape(str(run))):
        run_search(SMALLEST, run)
    folder = run_search(SMALLEST, run, resume=(run / "config.toml").exists())
    assert len(best_rules(folder, 99)) == SMALLEST.rules


def test_a_disk_without_room_for_the_controller_says_so_in_the_systems_words(run: Path) -> None:
    before = files(run)
    controller = create_controller(CONFIG.controller, load_space(CONFIG.space), 0)
    with files_up_to(10_000), pytest.raises(RunError, match=r"controller\.pt cannot be written: File too large\. Free"):
        save_controller(run, controller)
    assert files(run) == before


ROOM = """
import subprocess, sys
from pathlib import Path
from neuropt.searching.ledger import create_ledger, open_ledger
from neuropt.searching.ledger_file import LedgerError

disk, whole = sys.argv[1], 0
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
for room in range(4, 240, 4):
    path = Path(disk) / f"{room}.sqlite"
    subprocess.run(["mount", "-o", f"remount,size={room}k", disk], check=True)
    try:
        create_ledger(path).close()
    except LedgerError as error:
        assert "go on with --resume" in str(error) or "may be written" in str(error), error
    whole += path.exists()
    subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
    (open_ledger(path, read_only=False) if path.exists() else create_ledger(path)).close()
    for left in Path(disk).iterdir():
        assert not left.name.endswith((".new", ".new-wal", ".new-shm")), (room, left)
        left.unlink()
assert 5 < whole < 55
"""
APART = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    """Whether the system lets a process here have disks of its own."""
    mount = [*APART, "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]  # seen by this command alone
    return shutil.which(APART[0]) is not None and not subprocess.run(mount, check=False, capture_output=True).returncode


@pytest.mark.skipif(not can_mount(), reason="no disk of one's own can be made here")
def test_a_ledger_is_made_whole_or_not_at_all_on_a_disk_of_any_size(tmp_path: Path) -> None:
    code = [*APART, sys.executable, "-c", ROOM, str(tmp_path)]
    ended = subprocess.run(code, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert ended.returncode == 0


# -- folders ---------------------------------------------------------------------------------------------------------------------


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be somebody whom the rights of files concern."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only(finished: Path) -> Iterator[Path]:
    """A folder for all to read and for none to write, with a finished run in it."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        run = shutil.copytree(finished, Path(parent) / "run")
        for path in run.iterdir():
            path.chmod(0o444)
        run.chmod(0o555)
        yield run
        run.chmod(0o755)


def test_a_run_in_a_read_only_folder_can_be_read_but_not_gone_on_with(read_only: Path) -> None:
    before = files(read_only)
    with unprivileged():
        assert len(best_rules(read_only, 99)) == SMALLEST.rules
        with pytest.raises(RunError, match=f"{read_only} cannot be written: Permission denied"):
            run_search(SMALLEST, read_only, resume=True)
        with pytest.raises(RunError, match="new cannot be written: Permission denied"):
            run_search(SMALLEST, read_only / "new")
    assert files(read_only) == before


HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


def test_a_run_that_another_process_searches_in_is_refused(run: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(run / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = files(run)
        with pytest.raises(RunError, match=f"{run} is in use by another process; wait for it, or choose another --run"):
            run_search(SMALLEST, run, resume=True)
        assert files(run) == before
        other.stdin.close()
    run_search(SMALLEST, run, resume=True)


def test_a_configuration_that_was_cut_off_is_named(run: Path) -> None:
    (run / "config.toml").write_text('space = "icml2', encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.toml is not a search configuration"):
        run_search(replace(SMALLEST), run, resume=True)
