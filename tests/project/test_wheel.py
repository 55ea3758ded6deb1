from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import neuropt

ROOT = Path(__file__).parents[2]


def call(*command: str | Path, cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_three_packages_and_what_they_read(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"neuropt", "search_space", "controllers", f"neuropt-{neuropt.__version__}.dist-info"}
    for package in ("neuropt", "search_space", "controllers"):
        read = (".py", ".toml", ".json", ".typed", ".pt", ".npz", ".html", ".css", ".js")
        shipped = [p for p in (ROOT / package).rglob("*") if p.suffix in read]
        assert {str(path.relative_to(ROOT)) for path in shipped} <= names


def test_the_wheel_runs_in_a_fresh_environment_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    call(python, "-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", wheel, cwd=empty)
    # the dependencies that are installed here stand in for a download; a .pth file there does not count twice, so ours stays out
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=empty).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    where = call(python, "-c", "import neuropt; print(neuropt.__file__)", cwd=empty)
    assert Path(where.strip()).is_relative_to(home)
    assert "same as:         powersign" in call(home / "bin" / "neuropt", "show", "powersign", cwd=empty)
    assert "arxiv2017" in call(home / "bin" / "neuropt", "spaces", cwd=empty)
    assert "digits-mlp" in call(home / "bin" / "neuropt", "tasks", cwd=empty)
    assert "bello2017" in call(home / "bin" / "neuropt", "controllers", cwd=empty)
    assert list(empty.iterdir()) == []
