"""Rules as files that need nothing of ours: one target a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from neuropt.exporting.hub_folder import export_hub
from neuropt.exporting.json_file import export_json, from_json
from neuropt.exporting.keras_file import export_keras
from neuropt.exporting.latex_file import export_latex
from neuropt.exporting.markdown_file import export_markdown
from neuropt.exporting.optax_file import export_optax
from neuropt.exporting.provenance import Provenance
from neuropt.exporting.python_file import export_python
from neuropt.exporting.reading import from_export
from neuropt.exporting.torch_file import export_torch
from search_space import Rule

__all__ = ["TARGETS", "Provenance", "export_hub", "export_rule", "from_export", "from_json", "write_export"]

TARGETS: dict[str, Callable[[Rule, Provenance], str]] = {
    "torch": export_torch,
    "python": export_python,
    "optax": export_optax,
    "keras": export_keras,
    "json": export_json,
    "latex": export_latex,
    "markdown": export_markdown,
}
"""Every form of one file that a rule can be exported to: what makes its text. `export_hub` makes a folder."""


def export_rule(rule: Rule, to: str, provenance: Provenance | None = None) -> str:
    """Return a rule as the text of a file.

    Args:
        rule: any rule.
        to: a key of `TARGETS`.
        provenance: what the file says about its origin, and the learning rate it starts from.

    Raises:
        ValueError: an unknown target, or a rule that the target cannot express; says why.

    >>> from search_space import parse_rule
    >>> export_rule(parse_rule("g"), "json").splitlines()[1]
    '  "format": "neuropt-rule",'
    """
    if to == "hub":
        raise ValueError("the target 'hub' is a folder: use neuropt.export_hub, or neuropt export --to hub -o FOLDER.")
    if to not in TARGETS:
        raise ValueError(f"unknown export target {to!r}; choose one of {', '.join(TARGETS)}.")
    return TARGETS[to](rule, provenance or Provenance())


def write_export(export: str | Mapping[str, str], path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the text of an export to a file, or those of `export_hub` to a folder, and return its path.

    Raises:
        FileExistsError: there is a file already, and `overwrite` was not asked for.
        IsADirectoryError: the text of one file was to be written to a folder.
    """
    path = Path(path)
    if isinstance(export, str):
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder; name a file in it, such as {path / 'found.py'}")
        return _write(export, path, overwrite)
    path.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        for name in export:  # before the first is written
            if (path / name).exists():
                raise _exists(path / name)
    for name, text in export.items():
        _write(text, path / name, overwrite)
    return path


def _write(text: str, path: Path, overwrite: bool) -> Path:
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists(path) from None
    return path


def _exists(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} exists; choose another name, or replace it with --overwrite (overwrite=True).")
