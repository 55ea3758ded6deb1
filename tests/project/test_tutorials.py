"""Every step of the tutorials does what the page says, in a folder that has nothing but `examples/`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.project.pages import ROOT, Screen, check_step, commands, shown, steps

TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = {path.stem: path for path in sorted(TUTORIALS.glob("*.md"))}
ON_RAY = {"cluster"}
"""Pages that start Ray; `tests/searching/test_cluster_page.py` runs them."""
LONG = {"first-search", "your-own-model"}
"""Pages whose steps take more than a few seconds."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_the_tutorials_are_those_that_were_promised() -> None:
    promised = ["cluster", "first-search", "from-a-rule-to-your-script", "your-own-controller", "your-own-model"]
    assert list(PAGES) == [*promised, "your-own-space"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in PAGES if name not in ON_RAY],
)
def test_every_step_does_what_the_page_says(name: str, checkout: Path) -> None:
    page = PAGES[name].read_text(encoding="utf-8")
    done = steps(page)
    assert len([step for step in done if not step.file]) >= 3
    for step in done:
        check_step(step)


def test_a_terminal_shows_what_was_written_last() -> None:
    assert shown("\x1b[1ma\x1b[0m b  \n12\r3\nlive\n\x1b[1A\x1b[2K\rlast\n") == "a b\n32\nlast\n"
    assert Screen().isatty()


def test_commands_go_on_after_a_backslash() -> None:
    assert commands("$ a \\\n    b\nout\n$ c\n") == [("a \\\n    b", "out\n"), ("c", "")]
