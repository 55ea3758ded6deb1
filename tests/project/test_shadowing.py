from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import run_apart


@pytest.mark.parametrize("file", ["controllers/__init__.py", "search_space/__init__.py", "controllers.py"])
def test_a_foreign_package_that_shadows_ours_is_named(file: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("", encoding="utf-8")
    name = path.relative_to(tmp_path).parts[0].removesuffix(".py")
    for code in ("import neuropt", f"import {name}, neuropt", "import neuropt.tasks"):
        ended = run_apart("-c", code, cwd=tmp_path)
        last = ended.err.splitlines()[-1]
        assert last.startswith(f"ImportError: neuropt needs its own package '{name}'")
        assert str(path) in last
        assert "rename that" in last
    assert run_apart("-P", "-c", "import neuropt; neuropt.zoo", cwd=tmp_path).code == 0, "the cure that it names"


def test_a_folder_that_is_no_package_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "controllers").mkdir()
    assert run_apart("-c", "import neuropt; neuropt.create_controller", cwd=tmp_path).code == 0
