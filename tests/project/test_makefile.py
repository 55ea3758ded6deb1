from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(["make", "-C", str(ROOT), *arguments], env=env, capture_output=True, text=True, check=False)


def test_ci_runs_make_test_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert script.stat().st_mode & stat.S_IXUSR


@needs_make
def test_make_test_runs_format_lint_types_and_tests_in_this_order() -> None:
    steps = re.findall(r"bin/(ruff format|ruff check|mypy|pyright|pytest)", make("-n", "-B", "test").stdout)
    assert steps == ["ruff format", "ruff check", "mypy", "pyright", "pytest"]


@needs_make
def test_make_docs_builds_the_site_that_the_tests_look_at() -> None:
    command = next(line for line in make("-n", "docs").stdout.splitlines() if "mkdocs" in line)
    assert "bin/python -m mkdocs build" in command


@needs_make
def test_a_python_that_is_absent_is_said_in_one_line(tmp_path: Path) -> None:
    ended = make("search", "PYTHON=python3.99", f"VENV={tmp_path / 'none'}")
    assert ended.returncode != 0
    assert "python3.99 was not found; install Python 3.11" in ended.stderr
    assert not (tmp_path / "none").exists()


def test_every_dependency_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]  # dev, and docs through it, are what `make constraints` installs
    assert "neuropt[docs]" in extras["dev"]
    required = project["dependencies"] + [one for one in extras["dev"] if one != "neuropt[docs]"] + extras["docs"]
    for requirement in map(Requirement, required):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    assert pins[canonicalize_name("torch")] == "2.13.0", "no local part, so that CPU and CUDA builds both fit"


def test_every_dependency_is_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("search_space", "controllers", "neuropt")
        for path in (ROOT / package).rglob("*.py")
    )
    used_as = {"scikit-learn": r"from sklearn\b", "tqdm": r"progressbar="}  # pooch imports tqdm for its progress bar
    for requirement in project["dependencies"]:
        name = re.split(r"[\[<>= ]", requirement)[0]
        assert re.search(used_as.get(name, rf"(import|from) {name}\b|import_module\(\"{name}\b"), code), name
