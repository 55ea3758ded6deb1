from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import run_apart

ROOT = Path(__file__).parents[2]


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


def test_packages_that_ray_brought_are_ours_though_each_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = []
    for number, name in enumerate(("neuropt", "controllers", "search_space")):
        folders.append(tmp_path / "py_modules_files" / f"_ray_pkg_{number}")
        shutil.copytree(ROOT / name, folders[-1] / name, ignore=shutil.ignore_patterns("*.npz", "__pycache__"))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-c", "import neuropt, search_space; print(neuropt.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{folders[0] / 'neuropt' / '__init__.py'}\n", "")
    mine = tmp_path / "search_space"
    mine.mkdir()
    (mine / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import neuropt"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert "needs its own package 'search_space'" in done.stderr, "a user's folder is refused as ever"
