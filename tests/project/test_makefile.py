from __future__ import annotations

import os
import re
import shlex
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


def commands(target: str) -> list[list[str]]:
    """The programs of the environment that a target runs, with their arguments."""
    return [
        shlex.split(line)
        for line in re.findall(r"(?<=bin/)(?:ruff|mypy|pyright|pytest)\b[^;&\n]*", make("-n", "-B", target).stdout)
    ]


@needs_make
@pytest.mark.parametrize("target", ["test", "test-all"])
def test_make_test_runs_format_lint_types_and_tests_in_this_order(target: str) -> None:
    steps = [" ".join(command[:2]) for command in commands(target)]
    assert steps == ["ruff format", "ruff check", "mypy", "pyright --pythonpath", *["pytest -m"] * 3]


def selected(pytest_arguments: list[str]) -> set[str]:
    """The test files that a command of the Makefile runs; marks left out."""
    ignored = {part.removeprefix("--ignore=") for part in pytest_arguments if part.startswith("--ignore=")}
    folders = [part for part in pytest_arguments if part.startswith("tests/")] or ["tests"]
    assert all((ROOT / folder).is_dir() for folder in {*ignored, *folders})
    found = {str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("test_*.py")}
    return {path for path in found if not any(path.startswith(f"{folder}/") for folder in ignored)}


@needs_make
@pytest.mark.parametrize(("target", "marks"), [("test", "not slow"), ("test-all", "slow or not slow")])
def test_every_test_is_run_once(target: str, marks: str) -> None:
    runs = [command for command in commands(target) if command[0] == "pytest"]
    assert {command[2] for command in runs} == {marks}
    parts = [selected(command) for command in runs]
    every = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    assert sorted(path for part in parts for path in part) == sorted(every)
    assert {path for path in every if path.startswith("tests/searching/")} in parts, "Ray is in one part alone"


@needs_make
@pytest.mark.parametrize("target", ["test", "test-all"])
@pytest.mark.parametrize("fails", ["tests/searching", "tests/comparing", "--ignore=tests/comparing", "none"])
def test_a_part_that_fails_fails_make_and_the_others_are_run(target: str, fails: str, tmp_path: Path) -> None:
    programs: dict[str, str] = dict.fromkeys(("ruff", "mypy", "pyright", "python"), "true")
    programs["pytest"] = f'echo "ran $3"; [ "$3" != {fails} ]'
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o700)
    for done in (".installed-dev", ".installed-all"):
        (tmp_path / done).touch()
    ended = make(target, f"VENV={tmp_path}")
    assert ended.returncode == (0 if fails == "none" else 2)
    ran = re.findall("^ran (.+)$", ended.stdout, re.MULTILINE)
    assert sorted(ran) == ["--ignore=tests/comparing", "tests/comparing", "tests/searching"]


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
    extras = project["optional-dependencies"]
    assert "neuropt[docs]" in extras["dev"]
    installed = re.search(r"EXTRAS := \[(.*)\]", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert installed is not None
    assert {*installed[1].split(","), "docs"} == extras.keys(), "what `make test-all` and `make constraints` install"
    required = project["dependencies"] + [one for extra in extras.values() for one in extra if one != "neuropt[docs]"]
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
