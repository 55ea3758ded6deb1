"""The ten minutes of the README: search, read the report, export the best rule, train a model of one's own with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project.pages import ROOT, run, steps

README = (ROOT / "README.md").read_text(encoding="utf-8")
SEARCH = "neuropt search --run runs/first"
SMALLER = " --rules 8 --finalists 0 --executor in-process"
"""The page's search takes a minute or three; one of eight rules leaves the same things behind, but for the table of finalists."""


def test_every_step_to_a_model_of_ones_own_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = README.split("\n## Ten minutes")[1].split("\n## ")[0]
    typed, printed = [], {}
    for step in steps(section):
        text = step.text + SMALLER * (step.text == SEARCH)
        code, output = run(step.__class__(text, step.output, step.file))
        assert code == 0, f"{text}\n{output}"
        if not step.file:
            typed.append(step.text)
            printed[step.text] = output
    (script,) = re.findall(r'^```python title="(.+)"', section, re.MULTILINE)
    words = [" ".join(command.split()[:2]) for command in typed]  # without a comment
    order = ["neuropt search", "neuropt report", "neuropt export", "python found.py", f"python {script}"]
    assert [word for word in words if word in order] == order
    assert (tmp_path / "runs" / "first" / "report" / "report.html").stat().st_size > 100_000
    assert "self-test passed" in next(
        output for command, output in printed.items() if command.startswith("python found.py")
    )
    said = next(step.output for step in steps(section) if step.text == f"python {script}")
    lines = [re.sub(r"\b(nan|inf|\d[\d.e+-]*)", "#", text).splitlines() for text in (printed[f"python {script}"], said)]
    assert lines[0] == lines[1], "the page shows lines of this form"


def test_make_search_is_the_search_of_the_page() -> None:
    rule = re.search(r"^search:.*?\n\n", (ROOT / "Makefile").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert rule is not None
    assert '$(BIN)/neuropt search --run "$(RUN)";' in rule[0]
    assert "RUN ?= runs/first" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_picture_is_small_and_of_the_kind_that_pages_show() -> None:
    picture = (ROOT / "docs" / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000
