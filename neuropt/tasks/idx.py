"""Read IDX files, the format of MNIST and its relatives, refusing anything but what was expected.

An IDX file of bytes is: two zeros, the type 0x08, the number of axes, each axis as a 32-bit big-endian count, then the bytes.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuropt.tasks.downloads import DataError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the uint8 array in an IDX file, gzipped or plain.

    Args:
        path: the file; gzip is recognised by its first bytes.
        shape: what the file must hold; never more bytes than this are unpacked.

    Raises:
        DataError: naming the file, when it is damaged, truncated, too long or of another type or shape.
    """
    header = struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)
    size = len(header) + math.prod(shape)
    data = _read_at_most(path, size + 1)
    if data[: len(header)] != header:
        raise DataError(
            f"{path} is not the IDX file expected: its header must be {header.hex()} (unsigned bytes of shape {shape}), "
            f"but is {data[: len(header)].hex()}; replace the file with the official one."
        )
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data):,}"
        raise DataError(
            f"{path} must unpack to {size:,} bytes, but holds {found}; replace the file with the official one."
        )
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(shape)


def _read_at_most(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                return raw.read(size)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return unpacked.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can not be read: {type(error).__name__}: {error}; replace the file.") from error
