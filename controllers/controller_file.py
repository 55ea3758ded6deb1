"""Controllers of a user's own file, `path/to/controller.py:NAME`: run, since the user typed its path.

NAME is a class, or any function, that is called with a space and a seed and returns what has the six methods of `Controller`:

    class Mine:
        def __init__(self, space: TokenSpace, seed: int) -> None: ...

The file travels as its text, so that every process of a comparison runs the same one.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import cast

from controllers.checked import METHODS, Checked, speaking
from controllers.controller import Controller, TokenSpace

SUFFIX = ".py"
NAME_PREFIX = "neuropt_controller_file_"


@dataclass(frozen=True, slots=True)
class ControllerFile:
    """A file as read, and which controller of it is meant; it takes the place of settings.

    Args:
        path: of the file, absolute.
        name: of the class in it.
        text: of the whole file.
    """

    path: str
    name: str
    text: str

    @property
    def typed(self) -> str:
        """How it is named at the command line, from any folder."""
        return f"{self.path}:{self.name}"

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def create(self, space: TokenSpace, seed: int) -> Controller:
        """Run the file and create its controller.

        Raises:
            ValueError: in one line: no such name, something that is no controller, or what the file raised.
        """
        make = getattr(_run(self.path, self.text), self.name, None)
        if not callable(make):
            found = "is missing" if make is None else f"is {make!r:.80}"
            raise ValueError(f"{self.typed} must be a class that is called with (space, seed), but {found}.")
        with speaking(self.typed, "__init__"):
            own = cast("Controller", make(space, seed))
        missing = [name for name in METHODS if not callable(getattr(own, name, None))]
        if missing:
            raise ValueError(f"{self.typed} has no {', '.join(missing)}; a controller has {', '.join(METHODS)}.")
        return Checked(own, space, self.typed, self.sha256)


def is_controller_file(text: str) -> bool:
    """Whether a controller is given by a Python file rather than by a name or a preset.

    >>> is_controller_file("mine/controller.py:Mine"), is_controller_file("mine.toml"), is_controller_file("ppo")
    (True, False, False)
    """
    return text.endswith(SUFFIX) or text.rpartition(":")[0].endswith(SUFFIX)


def read_controller_file(text: str) -> ControllerFile:
    """Read the file that is meant, without running it.

    Args:
        text: `path/to/controller.py:NAME`.

    Raises:
        ValueError: it names no class, or the file cannot be read.
    """
    if text.endswith(SUFFIX):
        raise ValueError(f"controller {text!r} must also say which class of the file is meant: {text}:NAME")
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser().absolute()
    try:
        return ControllerFile(str(path), name, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ValueError(f"controller file {path} cannot be read: {reason}") from None


@lru_cache(maxsize=32)
def _run(path: str, text: str) -> ModuleType:
    module = ModuleType(NAME_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12])
    module.__file__ = path
    sys.modules[module.__name__] = module  # where dataclasses look for it
    try:
        exec(compile(text, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise ValueError(f"controller file {path} raised {type(error).__name__}: {error}".split("\n")[0]) from error
    return module
