from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import run_apart


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    code = "import os, sys; os.close(1); from neuropt.cli import main; sys.exit(main(['spaces']))"
    ended = run_apart("-c", code, cwd=tmp_path)
    assert "Traceback" not in ended.err
    shell = f"{sys.executable} -m neuropt show adam | true; echo ${{PIPESTATUS[0]}}"
    piped = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert piped.stderr == ""
    assert piped.stdout.strip() in ("0", "141"), "141 unless it was written before the reader left"


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:  # noqa: PTH123  # a device
        done = subprocess.run(
            [sys.executable, "-m", "neuropt", "spaces"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "neuropt spaces: error: No space left on device\n"


def test_an_ascii_terminal_gets_escapes_and_no_traceback(tmp_path: Path) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "30"}
    asked = run_apart("-m", "neuropt", "--help", cwd=tmp_path, env=env)
    assert asked.code == 0
    assert "search" in asked.out
    refused = run_apart("-m", "neuropt", "search", "--executor", "magic", cwd=tmp_path, env=env)
    assert refused.err.startswith("neuropt search: error: --executor must be one of 'tune', 'in-process'")
    assert len(refused.err.splitlines()) == 1, "boxes of any width become one line"
    assert run_apart("-m", "neuropt", "show", "é", cwd=tmp_path, env=env).code == 2
