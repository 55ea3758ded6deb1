"""The self-test of an exported file, run as `python FILE` does."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from neuropt.exporting import Provenance, export_rule
from search_space import parse_rule


def own_test(source: str, folder: Path) -> None:
    """Run an exported file as a script; a SystemExit is a test that failed."""
    (folder / "exported.py").write_text(source)
    runpy.run_path(str(folder / "exported.py"), run_name="__main__")


def check_a_wrong_file_fails(
    target: str, provenance: Provenance, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An average of other numbers than the recorded one is noticed at the first step that remembers something."""
    source = export_rule(parse_rule("m"), target, provenance)
    broken = source.replace("0.9 * m_prev", "0.8 * m_prev")
    assert broken != source
    with pytest.raises(SystemExit, match="1"):
        own_test(broken, folder)
    assert "self-test failed at step 2" in capsys.readouterr().out
