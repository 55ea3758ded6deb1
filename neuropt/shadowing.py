"""`search_space` and `controllers` are plain words: a user's own folder of that name would be imported in place of ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

SIBLINGS = ("search_space", "controllers")
BROUGHT = "py_modules_files"
"""Ray's folder of what travels with a job."""


def check_not_shadowed() -> None:
    """Raise unless the importable `search_space` and `controllers` are those that were installed with this package.

    Raises:
        ImportError: names the file that Python finds instead, and the cure.
    """
    home = Path(__file__).resolve().parent.parent
    for name in SIBLINGS:
        found = _file_of(name)
        if found is None or found.resolve() not in (home / name / "__init__.py", *_travelled(home, name)):
            raise ImportError(
                f"neuropt needs its own package {name!r}, {home / name}, but Python finds {found or 'none'} first; "
                f"rename that, or start Python where it is not importable (`python -P` leaves the current folder out)"
            )


def _travelled(home: Path, name: str) -> Iterator[Path]:
    """Yield where a package may be that Ray brought to a worker: each has a folder of its own in that of the job's modules."""
    if home.parent.name == BROUGHT:
        yield from home.parent.glob(f"*/{name}/__init__.py")


def _file_of(name: str) -> Path | None:
    """Return the file of a package without importing it."""
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
        return Path(file) if file else None
    spec = find_spec(name)
    if spec is None:
        return None
    # a folder without __init__.py has no origin, only locations
    locations = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec.origin else Path(locations[0]) if locations else None
