"""`neuropt status` and `neuropt top --watch`: how a run goes, while another process searches."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text
from tyro.conf import Positional, arg

from neuropt.commands.printing import print_json, show, table

if TYPE_CHECKING:
    from neuropt.searching.status import RunStatus

EVERY = 2.0
"""Seconds between two looks at a ledger."""


@dataclass(frozen=True)
class Status:
    """Say how a run goes: whether it searches, was interrupted or is finished, and what it has found so far."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """folder of a run, or its name under runs/"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print it."""
        from neuropt.searching.run_folder import find_run  # imports torch
        from neuropt.searching.status import run_status

        folder = find_run(self.run)
        status = run_status(folder)
        if self.json:
            print_json({"run": str(folder), **asdict(status)})
        else:
            print("\n".join(lines(folder, status)))


def lines(folder: Path, status: RunStatus) -> list[str]:
    """Return a status as lines for people."""
    from neuropt.searching.rung_report import rung_lines  # imports torch

    best = status.best
    waiting = "to be trained again" if status.state == "interrupted" else "under way"
    facts = {
        "run": f"{folder}, {status.state}",
        "rules": f"{status.trained} trained, {status.failed} failed, {status.training} {waiting}, of {status.wanted}",
        "proposals": f"{status.duplicates} duplicates and {status.rejected} rejected beside them, which cost no training",
        "best": "no rule is trained yet"
        if best is None
        else f"{show(best.reward)}: {'; '.join(best.rule.splitlines())}",
        "controller": ", ".join(f"{name} {show(value)}" for name, value in status.metrics.items()) or "no update yet",
    }
    for number, line in enumerate(rung_lines(status.rungs, status.trained)):
        facts[f"rung {number}" if number else "rungs"] = line
    if status.failures:
        facts["failures"] = "; ".join(status.failures)
    if status.state == "interrupted":
        facts["go on"] = f"neuropt search --resume --run {folder}"
    return [f"{label + ':':<12}{fact}" for label, fact in facts.items()]


def watch(folder: Path, count: int, console: Console | None = None) -> None:
    """Show the best rules of a run and how it goes, until it is no longer searched in.

    On a terminal the picture is renewed; elsewhere it is printed once for each change of the list.
    """
    from neuropt.searching.run_folder import best_rules
    from neuropt.searching.status import run_status

    console = console or Console(highlight=False)
    shown: object = None
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            found, status = best_rules(folder, count), run_status(folder)
            picture = _picture(folder, status, [asdict(rule) for rule in found])
            going = status.state in ("searching", "training finalists")
            if console.is_terminal:
                live.update(picture, refresh=True)
            elif going and found != shown:
                console.print(picture)
            shown = found
            if not going:
                break
            time.sleep(EVERY)
    console.print(picture)


def _picture(folder: Path, status: RunStatus, found: list[dict[str, object]]) -> RenderableType:
    rows = [row | {"rule": "; ".join(str(row["rule"]).splitlines())} for row in found]
    head = Text("\n".join(lines(folder, status)))
    return Group(head, Text(), table(rows)) if rows else head
