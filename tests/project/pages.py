"""Pages whose steps are run: what is typed on them, what it prints on a terminal of 80 columns, and how both are compared.

A page is a reader's session in the folder of a checkout. Two kinds of block are steps, in the order of the page:

    ```console                                   `$ command`, and what it printed, until the next `$`
    ```python title="examples/own_task.py"       a file that is there, shown; `title="train.py"`: one that the reader writes
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from neuropt.cli import main

ROOT = Path(__file__).parents[2]
COLUMNS = 80
CHECKOUT = "~/neuropt"
"""Where the reader is."""
RECORDED_ON = "AVX512"
"""What the numbers of trained networks were recorded with; other instructions sum in other orders."""

FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.DOTALL | re.MULTILINE)
_TIMES = re.compile(r"[\d,]+(?= rules/min)|\d+:\d\d(?= left)|(?<=ms )\d+\.\d+")
_CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


@dataclass(frozen=True)
class Step:
    """A block of a page, or one command of it.

    Args:
        text: what is typed, or the content of a file.
        output: what the page says that a command prints.
        file: the name of the file; none for a command.
    """

    text: str
    output: str = ""
    file: str = ""


def steps(page: str) -> list[Step]:
    """Return what a reader of the page does, in order."""
    found: list[Step] = []
    for language, title, body in FENCE.findall(page):
        if language == "console":
            found += [Step(command, output) for command, output in commands(body)]
        elif title:
            found.append(Step(body, file=title))
    return found


def commands(block: str) -> list[tuple[str, str]]:
    """Return (command, output) of each `$ ...`; a command goes on after a line that ends in a backslash."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        typed, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
        found.append((typed.rstrip("\n"), output))
    return found


def run(step: Step) -> tuple[int, str]:
    """Do what the reader does, in this folder; return the exit code and what the terminal shows."""
    if step.file:
        path = Path(step.file)
        if path.parts[0] == "examples":
            assert path.read_text(encoding="utf-8") == step.text, f"{path} is not what the page shows"
        else:
            path.write_text(step.text, encoding="utf-8")
        return 0, ""
    with terminal() as screen:
        code = _run(shlex.split(step.text.replace("\\\n", " "), comments=True), step.text)
    return code, shown(screen.getvalue()).replace(str(Path.cwd()), CHECKOUT)


def _run(words: list[str], typed: str) -> int:
    if words[-4:-1] in (["|", "head", "-n"], ["|", "tail", "-n"]):
        with contextlib.redirect_stdout(io.StringIO()) as piped:
            code = _run(words[:-4], typed)
        lines, count = piped.getvalue().splitlines(keepends=True), int(words[-1])
        sys.stdout.write("".join(lines[:count] if words[-3] == "head" else lines[-count:]))
        return code
    if words[0] == "neuropt":
        return main(words[1:])
    if words[0] == "python" and words[1].endswith(".py"):
        with _as_script(words[1:]):
            runpy.run_path(words[1], run_name="__main__")
        return 0
    done = subprocess.run(typed, shell=True, capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode


@contextlib.contextmanager
def _as_script(arguments: list[str]) -> Iterator[None]:
    """Give a script its arguments and its folder, and forget the modules that it found there."""
    before, argv, path = set(sys.modules), sys.argv, sys.path[:]
    sys.argv, sys.path = arguments, [str(Path(arguments[0]).parent.absolute()), *path]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        here = str(Path.cwd())
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(here):
                del sys.modules[name]


class Screen(io.StringIO):
    """A terminal, as far as programs ask."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal() -> Iterator[Screen]:
    """Give what runs a terminal of 80 columns, and random numbers of its own."""
    screen, before = Screen(), {name: os.environ.get(name) for name in ("COLUMNS", "LINES", "TERM")}
    streams = sys.stdout, sys.stderr
    os.environ.update(COLUMNS=str(COLUMNS), LINES="50", TERM="xterm")
    sys.stdout = sys.stderr = screen
    try:
        with torch.random.fork_rng(devices=[]):
            yield screen
    finally:
        sys.stdout, sys.stderr = streams
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def shown(written: str) -> str:
    """Return what a terminal shows at the end: colours left out, lines that were replaced gone, no spaces at ends."""
    lines, row, column, at = [""], 0, 0, 0
    while at < len(written):
        control = _CONTROL.match(written, at)
        if control is not None:
            number = int(control[1]) if control[1].isdigit() else 1
            if control[2] == "A":
                row = max(0, row - number)
            elif control[2] == "K" and control[1] == "2":
                lines[row] = ""
            at = control.end()
            continue
        character = written[at]
        at += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] = f"{lines[row]:<{column}}"[:column] + character + lines[row][column + 1 :]
            column += 1
    text = "\n".join(line.rstrip() for line in lines).rstrip("\n")
    return text + "\n" if text else ""


def without_times(text: str) -> str:
    """Replace what no two runs share."""
    return _TIMES.sub("#", text)


def same_machine() -> bool:
    """Whether trained numbers are those of the page to the last digit here."""
    return torch.backends.cpu.get_cpu_capability() == RECORDED_ON


def written_anew(page: str, outputs: Mapping[tuple[int, int], str]) -> str:
    """Return the page with other outputs: (block, command in it) -> output."""
    number = -1

    def block(match: re.Match[str]) -> str:
        nonlocal number
        number += 1
        if match[1] != "console":
            return match[0]
        parts = [
            f"$ {typed}\n{outputs.get((number, i), output)}" for i, (typed, output) in enumerate(commands(match[3]))
        ]
        return "```console\n" + "".join(parts) + "```"

    return FENCE.sub(block, page)


def check_step(step: Step) -> None:
    """Do a step of a page, and compare its exit code, and on the machine that wrote the page its output, with what stands there."""
    code, output = run(step)
    refused = step.output.startswith("neuropt") and ": error: " in step.output.split("\n")[0]
    assert code == (2 if refused else 0), f"{step.text}\n{output}"
    if same_machine() and not step.file:
        assert without_times(output) == without_times(step.output), step.text
