"""Find data files: in the user's data directory, then in the cache, then at their official homes.

The data directory is an argument (`--data-dir`) or the environment variable NEUROPT_DATA. Files there are used as they are, since a copy
may be packed differently from the official one; their readers check magic numbers, sizes and labels. Downloads are checked by SHA-256
and land in pooch's cache folder. Without a network the error comes within seconds and says what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

ENVIRONMENT_VARIABLE = "NEUROPT_DATA"

TIMEOUT = (4.0, 30.0)
"""Seconds to connect and to wait for the next bytes: an unreachable home must not look like a hang."""


class DataError(ValueError):
    """Say which data file is absent or damaged, and what to do about it."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file with its official checksum.

    Args:
        folder: of the cache, since data sets use the same file names.
        name: file name as published.
        urls: homes and mirrors, tried in this order.
        sha256: of the file as published.
    """

    folder: str
    name: str
    urls: tuple[str, ...]
    sha256: str


def resolve_data_dir(data_dir: Path | str | None) -> Path | None:
    """Return the absolute data directory: the argument, else NEUROPT_DATA, else None.

    Raises:
        DataError: when the directory does not exist.
    """
    chosen = data_dir or os.environ.get(ENVIRONMENT_VARIABLE) or None
    if chosen is None:
        return None
    directory = Path(chosen).expanduser().absolute()
    if not directory.is_dir():
        origin = "--data-dir" if data_dir else ENVIRONMENT_VARIABLE
        raise DataError(f"{origin} must be an existing directory, but got {directory}; correct it or leave it out.")
    return directory


def find_local(data_dir: Path | None, candidates: Sequence[str]) -> Path | None:
    """Return the first of the candidates (paths relative to the data directory) that is a file."""
    if data_dir is None:
        return None
    return next((data_dir / name for name in candidates if (data_dir / name).is_file()), None)


def download(remote: RemoteFile, data_dir: Path | None, candidates: Sequence[str]) -> Path:
    """Return the file from the cache, or download it there with a progress bar.

    Args:
        remote: the file.
        data_dir: where `find_local` already looked, for the error.
        candidates: what it looked for there.

    Raises:
        DataError: when it can not be downloaded: what is missing, where it was looked for, why the download failed, what to do.
    """
    cache = Path(pooch.os_cache("neuropt")) / remote.folder
    reasons: list[str] = []
    for url in remote.urls:
        fetch: Any = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=TIMEOUT)
        try:
            return Path(pooch.retrieve(url, f"sha256:{remote.sha256}", remote.name, cache, downloader=fetch))
        except (OSError, ValueError) as error:  # the network and the disk; a wrong checksum
            reasons.append(f"{url}: {_short(error)}")
    raise DataError(_advice(remote, data_dir, candidates, cache, reasons))


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Caused by" in text:  # urllib3 wraps the reason several times; the innermost one says it
        text = text.rpartition("Caused by ")[2].rpartition(": ")[2].rstrip(")\"'") + ")"
    return f"{type(error).__name__}: {text}"


def _advice(
    remote: RemoteFile, data_dir: Path | None, candidates: Sequence[str], cache: Path, reasons: Sequence[str]
) -> str:
    folders = dict.fromkeys((data_dir / name).parent for name in candidates) if data_dir else ()
    names = dict.fromkeys(Path(name).name for name in candidates)
    return "\n".join(
        [
            f"{remote.name} is missing and could not be downloaded.",
            f"  looked in: {', '.join(str(folder) for folder in [*folders, cache])} for {' or '.join(names)}"
            + ("" if data_dir else " (no data directory was given)"),
            *(f"  download failed: {reason}" for reason in reasons),
            f"  what to do: fetch {remote.urls[0]} by hand into a folder DIR and pass --data-dir DIR, "
            f"or set {ENVIRONMENT_VARIABLE}=DIR.",
        ]
    )
