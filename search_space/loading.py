"""Read search spaces from TOML: the four that ship, or a file of one's own.

name = "mine"
description = "one line"
groups = 2
operands = ["g", "ema(g, 0.95)", "1e-2 * w"]
unary = ["x", "exp(x)", "clip(x, 1e-4)"]
binary = ["x * y", "x / (y + 1e-8)", "x"]

[options]
distinct_operands = false
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from search_space.rule import RuleError
from search_space.space import SearchSpace

FOLDER = Path(__file__).parent / "spaces"
MAX_BYTES = 200_000
_TOP = {"name": str, "description": str, "source": str, "groups": int, "operands": list, "unary": list, "binary": list}
_OPTIONAL = {"source", "groups"}
_OPTIONS = {field.name: field.type for field in fields(SearchSpace)}.keys() - _TOP.keys()


def list_spaces() -> dict[str, str]:
    """Return the spaces that ship: name -> description.

    >>> sorted(list_spaces())
    ['arxiv2017', 'extended', 'icml2017', 'tiny']
    """
    return {path.stem: str(_read(path)["description"]) for path in sorted(FOLDER.glob("*.toml"))}


def load_space(name_or_path: str | Path, groups: int | None = None, **options: bool | float) -> SearchSpace:
    """Return a search space.

    Args:
        name_or_path: one of `list_spaces()`, or the path of a TOML file.
        groups: groups of five tokens; the file's own number if left out.
        options: fields of `SearchSpace` that override the file's, such as `noise_std=0.05`.

    Raises:
        FileNotFoundError: no such space or file.
        ValueError: names the file, the field, what it got and what would be valid.

    >>> load_space("icml2017", groups=1).size
    154880
    """
    path = _path(name_or_path)
    content = _read(path)
    given = content.pop("options", {})
    unknown = sorted((given | options).keys() - _OPTIONS)
    if unknown:
        raise ValueError(f"{path}: options: unknown {', '.join(unknown)}; there are {', '.join(sorted(_OPTIONS))}")
    given = given | options
    for name, value in given.items():
        wanted = (int, float) if name == "noise_std" else (bool,)
        if not isinstance(value, wanted) or (name == "noise_std" and isinstance(value, bool)):
            valid = "a number" if name == "noise_std" else "true or false"
            raise ValueError(f"{path}: options.{name} must be {valid}, but got {value!r:.80}")
    content |= {kind: tuple(content[kind]) for kind in ("operands", "unary", "binary")}
    content["groups"] = content.get("groups", 1) if groups is None else groups
    try:
        return SearchSpace(**content, **given)
    except RuleError as error:
        raise RuleError(f"{path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _path(name_or_path: str | Path) -> Path:
    shipped = FOLDER / f"{name_or_path}.toml"
    if str(name_or_path) in {path.stem for path in FOLDER.glob("*.toml")}:
        return shipped
    path = Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in FOLDER.glob("*.toml")))
        raise FileNotFoundError(
            f"no search space {str(name_or_path)!r:.200}: there are {names}, or give the path of a TOML file"
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    """Return the checked content of a file."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: a search space has at most {MAX_BYTES} bytes, but this file has {size}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is not TOML: {error}") from None
    unknown = sorted(content.keys() - _TOP.keys() - {"options"})
    if unknown:
        raise ValueError(f"{path}: unknown {', '.join(map(repr, unknown))}; there are {', '.join(_TOP)} and [options]")
    for name, kind in _TOP.items():
        if name not in content and name not in _OPTIONAL:
            raise ValueError(f"{path}: {name} is missing; it must be {_a(kind)}")
        value = content.get(name)
        if name in content and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{path}: {name} must be {_a(kind)}, but got {value!r:.80}")
    if not isinstance(content.get("options", {}), dict):
        raise ValueError(f"{path}: options must be a table, but got {content['options']!r:.80}")
    return content


def _a(kind: type) -> str:
    return {str: "a string", int: "a whole number", list: "a list of rule texts"}[kind]
