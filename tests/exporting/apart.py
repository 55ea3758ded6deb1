"""Run a file of tests in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def assert_claims(file: str, marked: str, **environment: str) -> None:
    """Run the tests in `file` of this folder that are marked so, with environment variables added, and fail where one does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marked, f"tests/exporting/{file}"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    added = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | environment
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=added, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
