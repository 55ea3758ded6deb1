"""The file of a table: a compressed npz archive of plain arrays, of which one, `about`, is JSON. `docs/tables.md` says what is in it."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuropt.tables.table import Table
from neuropt.writing import whole_file
from search_space import SearchSpace

FORMAT = "neuropt-table"
SCHEMA_VERSION = 1
DATA = Path(__file__).parent / "data"
SUFFIX = ".npz"
MOST_BYTES = 2_000_000_000
"""No table unpacks to more."""
ARRAYS = {
    "tokens": "i2",
    "scales": "f8",
    "cosines": "f8",
    "keys": "S16",
    "rule_of": "i4",
    "negated": "b1",
    "base_rates": "f8",
    "losses": "f4",
    "accuracies": "f4",
}
"""The arrays of the file and their types; texts are JSON in bytes."""
_ABOUT, _RULES = "about", "rules"
_PLAIN = {
    "name": str,
    "task": str,
    "steps": int,
    "worst_reward": float | int,
    "best_reward": float | int,
    "loss_bound": float | int,
}


class TableError(ValueError):
    """A table that cannot be found, read or written: names the file and what is wrong."""


def table_names() -> list[str]:
    """Return the names of the tables that ship.

    >>> "icml2017-digits-mlp" in table_names()
    True
    """
    return sorted(path.stem for path in DATA.glob(f"*{SUFFIX}"))


def load_table(name_or_path: str | Path) -> Table:
    """Return a complete table: one that ships, by name, or the file of one's own.

    Args:
        name_or_path: a name that `neuropt table list` prints, or a path that `neuropt table build` wrote.

    Raises:
        TableError: (a ValueError) no such table, a file that is none, that is damaged, or that a newer neuropt wrote.

    >>> import neuropt
    >>> neuropt.load_table("icml2017-digits-mlp").task
    'digits-mlp'
    """
    path = find_table(name_or_path)
    stat = path.stat()
    return _loaded(path, stat.st_mtime_ns, stat.st_size)


def find_table(name_or_path: str | Path) -> Path:
    """Return the file of a table.

    Raises:
        TableError: neither a name nor a file.
    """
    shipped = DATA / f"{name_or_path}{SUFFIX}"
    if str(name_or_path) in table_names():
        return shipped
    path = Path(name_or_path)
    with suppress(OSError, ValueError):  # too long for a path, or a character that none has
        if path.is_file():
            return path
    raise TableError(
        f"no table {str(name_or_path)!r:.200}: there are {', '.join(table_names()) or 'none'}, or give the file of one"
    )


@lru_cache(maxsize=4)
def _loaded(path: Path, changed: int, size: int) -> Table:
    return read_table(path)


def read_table(path: Path) -> Table:
    """Read the file of a table and check it.

    Raises:
        TableError: it is none, is damaged, or a newer neuropt wrote it.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
                raise TableError(f"{path} unpacks to more than {MOST_BYTES:,} bytes, which no table does")
        with np.load(path, allow_pickle=False) as arrays:
            about = _about(path, arrays)
            rules = _json(arrays[_RULES])
            found = {name: np.asarray(arrays[name]) for name in ARRAYS}
    except TableError:
        raise
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError, MemoryError) as error:
        said = error.args[0] if isinstance(error, KeyError) else error  # a KeyError's text is in quotes
        reason = str(said).split("\n")[0] or type(error).__name__
        raise TableError(f"{path} is no table, or is damaged: {reason}") from None
    try:
        table = _table(about, rules, found, hashlib.sha256(content).hexdigest())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise TableError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
    return table


def _about(path: Path, arrays: Mapping[str, Any]) -> dict[str, Any]:
    about = _json(arrays[_ABOUT]) if _ABOUT in arrays else None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise TableError(f"{path} is an npz file, but not a table of neuropt")
    schema = about.get("schema")
    if not isinstance(schema, int) or schema < 1:
        raise TableError(f"{path} is damaged: its schema is {schema!r:.40}")
    if schema > SCHEMA_VERSION:
        raise TableError(
            f"{path} has schema {schema}, but this neuropt reads up to {SCHEMA_VERSION}; use a newer neuropt"
        )
    return about


def _json(array: NDArray[np.uint8]) -> Any:
    return json.loads(array.tobytes().decode("utf-8"))


def _bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode("utf-8"), np.uint8)


def _table(about: dict[str, Any], rules: Any, arrays: dict[str, Any], sha256: str) -> Table:
    """Make the table of what a file holds, and check that it fits together."""
    space = about["space"] | {kind: tuple(about["space"][kind]) for kind in ("operands", "unary", "binary")}
    table = Table(
        **{name: about[name] for name in _PLAIN},
        space=SearchSpace(**space),
        seeds=tuple(about["seeds"]),
        rules=tuple(rules),
        reasons=tuple(about["reasons"]),
        failures={int(rule): str(reason) for rule, reason in about["failures"].items()},
        facts=about["facts"],
        sha256=sha256,
        **arrays,
    )
    _check(table)
    return table


def _check(table: Table) -> None:
    """Raise a ValueError where parts of a table do not fit together."""
    for name, kind in _PLAIN.items():
        if not isinstance(getattr(table, name), kind):
            raise ValueError(f"its {name} is {getattr(table, name)!r:.80}")
    if not all(isinstance(seed, int) for seed in table.seeds) or not isinstance(table.facts, dict):
        raise ValueError("its seeds are no whole numbers, or its facts no record")
    rules, rates, seeds = len(table.rules), len(table.base_rates), len(table.seeds)
    shapes = {
        "tokens": (rules, len(table.space.choices)),
        "scales": (rules,),
        "cosines": (rules,),
        "keys": (rules,),
        "rule_of": (table.space.size,),
        "negated": (table.space.size,),
        "base_rates": (rates,),
        "losses": (rules, rates, seeds),
        "accuracies": (rules, rates, seeds),
    }
    for name, shape in shapes.items():
        array = getattr(table, name)
        if array.dtype != np.dtype(ARRAYS[name]) or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, not {ARRAYS[name]} of shape {shape}")
    if not (rules and rates and seeds):
        raise ValueError("it holds no rule, no learning rate or no seed")
    if not all(isinstance(text, str) for text in (*table.rules, *table.reasons)):
        raise ValueError("a rule is no text")
    if table.rule_of.max() >= rules or table.rule_of.min() < -1 - len(table.reasons):
        raise ValueError(f"rule_of holds a number that is none of the {rules} rules")
    if not (np.isfinite(table.scales).all() and (table.scales > 0).all()):
        raise ValueError("a scale is not positive and finite")
    if len(set(table.seeds)) < seeds:
        raise ValueError(f"its seeds are not distinct: {', '.join(map(str, table.seeds))}")
    if not (np.isfinite(table.base_rates).all() and (table.base_rates > 0).all()):
        raise ValueError("a learning rate is not positive and finite")
    if not (table.losses >= 0).all():  # infinite where the child diverged, NaN nowhere
        raise ValueError("a loss is negative or no number")
    numbers = np.ravel_multi_index(tuple(table.tokens.T.astype(np.int64)), table.space.choices)
    if not np.array_equal(table.rule_of[numbers], np.arange(rules)):
        raise ValueError("the string of a rule says another one")


def write_table(table: Table, path: Path) -> None:
    """Write the file of a table, whole or not at all.

    Raises:
        TableError: it cannot be written.
    """
    _check(table)
    about = {name: getattr(table, name) for name in _PLAIN} | {
        "format": FORMAT,
        "schema": SCHEMA_VERSION,
        "space": asdict(table.space),
        "seeds": list(table.seeds),
        "reasons": list(table.reasons),
        "failures": {str(rule): reason for rule, reason in table.failures.items()},
        "facts": dict(table.facts),
    }
    arrays: dict[str, Any] = {_ABOUT: _bytes(about), _RULES: _bytes(list(table.rules))} | {
        n: getattr(table, n) for n in ARRAYS
    }
    try:
        with whole_file(path) as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise TableError(f"{path} cannot be written: {error.strerror or error}") from None
