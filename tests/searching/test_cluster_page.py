"""The page about a cluster: its lines start a head and a node on this machine, and a search on them, as a reader's shell would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.project.pages import ROOT, Step, commands, run
from tests.searching.test_cluster import environment, free_port, node, token

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "tutorials" / "cluster.md").read_text(encoding="utf-8")


def typed() -> Iterator[str]:
    """Every command of the page, in order, in one line each."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        for command, _ in commands(block):
            yield re.sub(r"\s*\\\n\s*", " ", command)


def test_every_line_of_the_page_does_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env, address = environment(token()), f"127.0.0.1:{free_port()}"
    env |= {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    python, said = Path(sys.executable), {}
    with ExitStack() as stack:
        for command in typed():
            words = command.replace("127.0.0.1:6379", address).replace("6379", address.partition(":")[2]).split()
            if words[:2] == ["ray", "start"]:
                assert words[-1] == "false" or words[-2] == "--num-cpus"
                # `node` blocks and ends with this test; its own --num-cpus gives way to the page's, which comes last
                stack.enter_context(node(python, env, *words[2:]))
            elif words[0] == "export":
                name, _, value = words[1].partition("=")
                assert name in env, "`environment` exports what the page does"
                assert env[name] == value or value == "$(openssl"
            elif "--address" in words:
                said[command] = neuropt(python, env, words[1:], tmp_path)
            else:  # Ray has no part in it: here, which costs no start of Python
                assert words[0] == "neuropt"
                code, said[command] = run(Step(command))
                assert code == 0, said[command]
    far, near = (output for command, output in said.items() if " top " in command)
    assert far.replace("far", "near") == near, "one search, wherever it is trained"
    assert len(said) == 5


def neuropt(python: Path, env: dict[str, str], words: list[str], folder: Path) -> str:
    process = subprocess.Popen(
        [str(python), "-m", "neuropt", *words], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output
