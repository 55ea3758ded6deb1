"""Rules as files that need nothing of ours: one target a module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neuropt.exporting.json_file import export_json, from_json
from neuropt.exporting.latex_file import export_latex
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.torch_file import export_torch
from search_space import Rule

__all__ = ["TARGETS", "Provenance", "export_rule", "from_json", "write_export"]

TARGETS: dict[str, Callable[[Rule, Provenance], str]] = {
    "torch": export_torch,
    "json": export_json,
    "latex": export_latex,
}
"""Every form a rule can be exported to: what makes its text."""


def export_rule(rule: Rule, to: str, provenance: Provenance | None = None) -> str:
    """Return a rule as the text of a file.

    Args:
        rule: any rule.
        to: a key of `TARGETS`.
        provenance: what the file says about its origin, and the learning rate it starts from.

    Raises:
        ValueError: an unknown target.

    >>> from search_space import parse_rule
    >>> export_rule(parse_rule("g"), "json").splitlines()[1]
    '  "format": "neuropt-rule",'
    """
    if to not in TARGETS:
        raise ValueError(f"unknown export target {to!r}; choose one of {', '.join(TARGETS)}.")
    return TARGETS[to](rule, provenance or Provenance())


def write_export(text: str, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the text of an export to a file, and return its path.

    Raises:
        FileExistsError: there is a file already, and `overwrite` was not asked for.
    """
    path = Path(path)
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise FileExistsError(
            f"{path} exists; choose another name, or replace it with --overwrite (overwrite=True)."
        ) from None
    return path
