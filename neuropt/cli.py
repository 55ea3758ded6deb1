"""The command `neuropt`: each subcommand is one function of the Python API.

Whatever is wrong with what the user typed is said in one line on the error stream, with exit code 2:

    neuropt show: error: no rule is called 'powersing'; did you mean powersign? `neuropt optimizers` lists all names
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

import neuropt
from neuropt.commands import COMMANDS
from neuropt.commands.parsing import UsageError, parse

USER_ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 1 where a check failed, 2 for what the user can correct, 130 after Ctrl-C.

    >>> main(["spaces", "--json"])
    0
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    _prepare_streams()
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError) as error:
        # what callers of the Python API get as ValueError is what a user typed here
        print(f"{' '.join(['neuropt', command]).strip()}: error: {_message(error)}", file=sys.stderr)
        return USER_ERROR


def _run(arguments: Sequence[str]) -> int:
    if list(arguments) == ["--version"]:
        print(f"neuropt {neuropt.__version__}")
        return 0
    try:
        command = parse(COMMANDS, arguments)
    except UsageError:
        raise
    except SystemExit as end:  # --help
        return int(end.code or 0)
    return command() or 0


def _message(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _prepare_streams() -> None:
    """Make streams print what their encoding lacks as escapes, and exist when they were closed."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """Send what is still buffered for a closed pipe nowhere, so that Python does not complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
