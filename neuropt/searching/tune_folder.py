"""Where Tune writes what nobody reads: a temporary folder that goes with its search; that of a killed search goes with the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, LOCK = "neuropt-tune-", "lock"
YOUNG = 60.0
"""Seconds within which a folder may be one whose search is just taking its lock."""


@contextmanager
def tune_folder() -> Iterator[str]:
    """Make the folder of one search, and remove those that ended searches of this user left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made, (Path(made) / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system gives it back, however this process ends
        yield made


def _is_left(folder: Path) -> bool:
    """Whether the search of a folder has ended; one that says nothing of it is left alone."""
    try:
        about = folder.lstat()
        if about.st_uid != os.getuid() or folder.is_symlink() or time.time() - about.st_mtime < YOUNG:
            return False
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
