"""Run the command line in this process, or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuropt.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    capsys.readouterr()
    code = main(arguments)
    said = capsys.readouterr()
    return Ended(code, said.out, said.err)


def run_apart(*command: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120.0) -> Ended:
    """Run `python ...` in a folder, with the environment given and nothing of this process's but the path."""
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=env, timeout=timeout, capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)
