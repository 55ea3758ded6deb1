"""Files and folders that are there as a whole or not at all, however a process ends.

FILE.new     what is being written; it gets the name FILE once it is whole, and what was there stays until then
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def new_name(path: Path, mark: str = "") -> Path:
    """Return what a file is called while it is written.

    Args:
        path: of the file.
        mark: tells processes apart that may write it at the same time.

    >>> new_name(Path("runs/first/config.toml")).name
    'config.toml.new'
    """
    return path.with_name(f"{path.name}{mark and '.' + mark}.new")


@contextmanager
def whole_file(path: Path, mark: str = "") -> Iterator[IO[bytes]]:
    """Write a file that gets its name once it is whole and on the disk.

    Args:
        path: of the file; one that is there is replaced.
        mark: as in `new_name`.

    Raises:
        OSError: it cannot be written; what was there is there still. So it is after whatever else is raised meanwhile.
    """
    new = new_name(path, mark)
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        give_name(new, path)
    except BaseException:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def give_name(new: Path, path: Path) -> None:
    """Give a file that is whole its name, so that it survives a loss of power."""
    new.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def out_folder(folder: Path | None, names: Sequence[str], what: str) -> Iterator[None]:
    """Hold a folder for what comes of something long: made before it begins, gone again if it ends before there is anything.

    Args:
        folder: to be used; None for none.
        names: of the files that will be written.
        what: they are results of.

    Raises:
        ValueError: one of the files is there already, or the folder cannot be written.
    """
    if folder is None:
        yield
        return
    for name in names:
        if (folder / name).exists():
            raise ValueError(f"{folder / name} exists already; choose another folder for this {what}")
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / names[0]).touch()
        (folder / names[0]).unlink()
    except OSError as error:
        _remove_empty(missing)
        raise ValueError(f"{folder} cannot be written: {error.strerror or error}") from None
    try:
        yield
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, as far as nothing is in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
