"""`neuropt spaces | controllers | tasks | schedules`: what there is, a line each.

Commands import what they need when they run, so that `neuropt --help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from neuropt.commands.printing import print_json, print_rows, show


@dataclass(frozen=True)
class Spaces:
    """List the search spaces, or show some of them."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[SPACE...]")] = ()
    """those to show: names, or TOML files of one's own; left out, all that ship"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them, with their own numbers of groups, the sizes of their vocabularies, and how many strings their constraints allow."""
        from search_space import list_spaces, load_space

        print_rows(
            [
                {
                    "name": space.name,
                    "groups": space.groups,
                    "operands": len(space.operands),
                    "unary": len(space.unary),
                    "binary": len(space.binary),
                    "strings": space.allowed_size,
                    "description": space.description,
                }
                for space in map(load_space, self.names or list_spaces())
            ],
            self.json,
        )


@dataclass(frozen=True)
class Controllers:
    """List the controllers."""

    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        from controllers import list_presets  # imports torch

        print_rows([{"name": name, "description": text} for name, text in list_presets().items()], self.json)


@dataclass(frozen=True)
class Tasks:
    """List the tasks, or load some of them and show their sizes and hashes."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[TASK...]")] = ()
    """those to load, check and hash: names, or FILE.py:NAME for one's own, which is run; left out, all are listed"""
    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        from neuropt.tasks import get_task, tasks  # imports torch
        from neuropt.tasks.describing import listed, loaded

        if not self.names:
            print_rows([listed(task) for task in tasks().values()], self.json)
            return
        found = [loaded(get_task(name), self.data_dir) for name in self.names]
        if self.json:
            print_json(found)
            return
        print("\n\n".join("\n".join(f"{name}: {show(value)}" for name, value in one.items()) for one in found))


@dataclass(frozen=True)
class Schedules:
    """List the learning-rate schedules that `evaluate --schedule` takes."""

    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        from neuropt.optimizers import named_schedules  # imports torch

        rows = named_schedules().values()
        print_rows(
            [{"name": r.name, "moves": r.moves, "lr over its start": r.formula, "source": r.source} for r in rows],
            self.json,
        )
