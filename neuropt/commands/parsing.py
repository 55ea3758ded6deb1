"""From arguments to a command, through tyro; what tyro says in a box of many lines becomes one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import is_dataclass, replace
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import FlagCreatePairsOff, Positional

from neuropt.commands.command import Command
from neuropt.commands.studies import Search

_POSITIONAL = get_args(Positional[str])[1]  # how tyro marks an argument without a flag
DESCRIPTION = (
    "Search for the update rules of neural networks, and use the ones that win as torch optimizers. "
    "`neuropt --version` prints the version."
)


class UsageError(ValueError):
    """Arguments that do not fit; one line."""


def parse(commands: Mapping[str, type[Command]], arguments: Sequence[str]) -> Command:
    """Return the command that the arguments ask for.

    Raises:
        UsageError: they ask for none.
        SystemExit: they ask for help, which is printed.
    """
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            command = tyro.extras.subcommand_cli_from_dict(
                dict(commands),
                prog="neuropt",
                description=DESCRIPTION,
                args=list(arguments),
                config=(FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if not end.code:
            raise
        name = arguments[0] if arguments and arguments[0] in commands else ""
        message = _unlike_any_flag(commands[name], arguments[1:]) if name else None
        message = message or one_line(said.getvalue())
        help_command = f"neuropt {name}".strip()
        raise UsageError(f"{message}{' See' if message.endswith('?') else '; see'} `{help_command} --help`") from None
    return replace(command, typed=_typed(arguments)) if isinstance(command, Search) else command


def _typed(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the flags among the arguments.

    >>> _typed(["--executor=tune", "--cpus-per-child", "2"])
    ('executor', 'cpus_per_child')
    """
    return tuple(a.removeprefix("--").split("=")[0].replace("-", "_") for a in arguments if a.startswith("--"))


def _unlike_any_flag(command: type[Command], arguments: Sequence[str]) -> str | None:
    """Return what to say of the first argument that looks like a flag and is none.

    tyro takes `show -g` for a flag -g and `show --jsn g` for a flag with a value, and misses the rule only.
    """
    known = {"-h", "--help"} | _flags(command)
    before = list(arguments)[: list(arguments).index("--") if "--" in arguments else None]
    for argument in before:
        flag = argument.split("=")[0].replace("_", "-")
        if not argument.startswith("-") or argument == "-" or flag in known or _is_number(argument):
            continue
        if not argument.startswith("--"):
            return f"unknown argument {argument}; a rule that begins with a minus stands after --, as in -- '-g'"
        near = get_close_matches(flag, known, 1)
        return f"unknown argument {flag}" + (f"; did you mean {near[0]}?" if near else "")
    return None


def _flags(command: type[Any]) -> set[str]:
    """Return the flags of a dataclass and of those inside it."""
    flags = set[str]()
    for name, hint in get_type_hints(command, include_extras=True).items():
        if _POSITIONAL in getattr(hint, "__metadata__", ()):
            continue
        for inner in _dataclasses(hint):
            flags |= _flags(inner)
        flags |= {f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"}
        for extra in getattr(hint, "__metadata__", ()):
            flags |= set(getattr(extra, "aliases", None) or ())
            if given := getattr(extra, "name", None):
                flags.add(f"--{given}")
    return flags


def _dataclasses(hint: Any) -> Iterator[type[Any]]:
    """Yield the dataclasses that a type is, or is one of."""
    inner = hint.__origin__ if hasattr(hint, "__metadata__") else hint
    if is_dataclass(inner) and isinstance(inner, type):
        yield inner
    elif isinstance(inner, UnionType) or get_origin(inner) is Union:
        for member in get_args(inner):
            yield from _dataclasses(member)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_BORDERS = re.compile(r"[╭╮╰╯│─]+|^[+|]|[+|]$|-{10,}")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # tyro's, on a terminal
_PLAIN = (
    # what tyro says -> what it means
    (r"Error parsing \S*config: ", ""),
    (r"Error parsing (\S+): invalid literal for int\(\) with base 10: (.*)", r"\1 must be a whole number, but got \2"),
    (r"Error parsing (\S+): could not convert string to float: (.*)", r"\1 must be a number, but got \2"),
    (
        r"Error parsing (\S+): no type matching INT\|\{(.*)\} could be instantiated from \['(.*)'\]",
        r"\1 must be a whole number or \2, but got '\3'",
    ),
    (r"invalid choice (.*) for argument '(.*?)'\. Expected one of \((.*)\)\.?", r"\2 must be one of \3, but got \1"),
    (r"Missing value for argument '([a-z].*?)'\. .*", r"\1 is missing"),
    (r"Missing value for argument '(.*?)'\. .*", r"\1 needs a value"),
    (r"^Expected one of \{(.*)\}\.$", r"a command is missing: one of \1"),
    (r"^Unrecognized options", "unknown arguments"),
)


def one_line(box: str) -> str:
    """Return the first part of a boxed message, with its suggestion if it has one.

    >>> one_line("╭─ Error ─╮\\n│ Unrecognized options: --jsn │\\n│ ─── │\\n│ Perhaps you meant: │\\n│   --json │\\n╰───╯")
    'unknown arguments: --jsn; did you mean --json?'
    """
    parts = _parts(box)
    if not parts:
        return "these arguments do not fit"
    message = _missing(parts[0]) or " ".join(parts[0])
    for pattern, plain in _PLAIN:
        message = re.sub(pattern, plain, message)
    for other in (" ".join(part) for part in parts[1:]):
        if near := re.match(r"Perhaps you meant:? +(\S+)", other):
            message += f"; did you mean {near[1]}?"
        elif other.startswith("Available subcommands:"):
            message += f"; there are{other.partition(':')[2]}"
    return message.rstrip(".")


def _missing(lines: Sequence[str]) -> str | None:
    """Return the names of what is missing, from lines of a name, its help and the word (required) for each."""
    if not lines[0].startswith("Missing from"):
        return None
    ends = [-1, *(i for i, line in enumerate(lines[1:]) if line.endswith("(required)"))]
    return "missing: " + " and ".join(lines[1:][end + 1] for end in ends[:-1])


def _parts(box: str) -> list[list[str]]:
    """Return the lines inside a box, split at its rules; its title is left out."""
    parts: list[list[str]] = [[]]
    for line in _COLOURS.sub("", box).splitlines()[1:]:
        text = _BORDERS.sub(" ", line).strip()
        if text:
            parts[-1].append(" ".join(text.split()))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]
