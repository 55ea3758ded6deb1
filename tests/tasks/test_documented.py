"""docs/tasks.md says what there is, and its example works as it is printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from neuropt.tasks.describing import documented
from tests.cli.running import run_here

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def test_the_table_of_tasks_is_what_there_is() -> None:
    table = "".join(line for line in DOCUMENT.splitlines(keepends=True) if line.startswith("|"))
    assert table == documented()


def test_the_example_is_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    (tmp_path / "surface.py").write_text(example)
    monkeypatch.chdir(tmp_path)
    (row,) = json.loads(run_here(capsys, "tasks", "surface.py:surface", "--json").out)
    assert (row["metric"], row["train"], row["parameters"]) == ("loss", 600, 2 * 32 + 32 + 32 + 1)
