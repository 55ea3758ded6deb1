from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("search_space", "controllers", "neuropt")
FILES = [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

FORBIDDEN = {
    "search_space": {"torch", "ray", "controllers", "neuropt"},
    "controllers": {"ray", "neuropt"},
    "neuropt": set[str](),
}


def imported(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever in it."""
    found = set[str]()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found.add(str(node.module).partition(".")[0])
    return found


def test_files_are_found() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path: Path) -> None:
    assert not imported(path) & FORBIDDEN[path.parts[0]]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_ray_is_imported_for_searching_only(path: Path) -> None:
    assert "ray" not in imported(path) or path.parts[:2] == ("neuropt", "searching")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nobody_imports_the_command_line(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    inside = path.parts[:2] == ("neuropt", "commands") or path.name in ("cli.py", "__main__.py")
    assert inside or ("neuropt.cli" not in text and "neuropt.commands" not in text)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
