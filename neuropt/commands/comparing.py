"""`neuropt compare-controllers`: who finds good rules soonest, on a complete table."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from neuropt.commands.printing import print_rows
from neuropt.config import Reward

if TYPE_CHECKING:
    from neuropt.comparing.comparison import Against, ControllerRow
    from neuropt.comparing.controller_comparison import ControllerComparison
    from neuropt.evaluating.statistics import Spread

NO_BREAK = "\u00a0"
EVERY = 0.05
"""Share of the searches after which a line says how far it is."""


@dataclass(frozen=True)
class CompareControllers:
    """Let controllers search a complete table, many times each, and compare how soon they find its best rules."""

    table: Annotated[str, arg(metavar="TABLE")]
    """a name of `neuropt table list`, or a file that `neuropt table build` wrote"""
    controllers: str = "random,evolution,tree,reinforce,ppo,ppo-mutants,trpo"
    """names of `neuropt controllers`, TOML files, or FILE.py:NAME; commas between"""
    budget: int = 2_000
    """distinct rules that each search trains"""
    seeds: int = 30
    """searches of each controller"""
    seed: int = 0
    """of the first search; the others follow"""
    reward: Reward = "accuracy"
    """what controllers are told: validation accuracy, or minus log of validation loss"""
    top_share: float = 0.001
    """share of the table's rules that is looked for, the best by quality"""
    warm_start: str | None = None
    """rules that every controller begins with, such as adam,signum; commas between"""
    workers: int | None = None
    """processes; None for every CPU"""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """folder for searches.csv, curves.csv, comparison.json and comparison.svg"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Run it."""
        from neuropt.comparing.compare import compare_controllers  # imports torch

        found = compare_controllers(
            self.table,
            self.controllers.split(","),
            budget=self.budget,
            seeds=self.seeds,
            seed=self.seed,
            reward=self.reward,
            top_share=self.top_share,
            warm_start=self.warm_start,
            workers=self.workers,
            out=self.out,
            progress=_say,
        )
        if self.json:
            print(found.to_json(), end="")
            return
        print(f"{found.table}: {found.rules:,} rules, {self.seeds} searches of {self.budget:,} children each")
        _print([_cells(row) for row in found.rows])
        print("\n".join(_legend(found)))
        if self.out is not None:
            print(f"searches, curves and figure are in {self.out}")


def _say(done: int, of: int) -> None:
    step = max(1, round(EVERY * of))
    if sys.stderr.isatty():  # one line that is written over
        print(f"\r{done}/{of} searches", file=sys.stderr, end="\n" if done == of else "", flush=True)
    elif done % step == 0 or done == of:
        print(f"{done}/{of} searches", file=sys.stderr)


def _print(rows: list[dict[str, object]]) -> None:
    """Print a table; on a terminal that has no room for it, a paragraph a controller."""
    columns = [[name, *(str(row[name]) for row in rows)] for name in rows[0]]
    needed = sum(max(map(len, column)) for column in columns) + 2 * len(columns)
    if not sys.stdout.isatty() or needed <= (room := shutil.get_terminal_size().columns):
        print_rows(rows, as_json=False)
        return
    for row in rows:
        cells = [f"{name} {value};".replace(" ", NO_BREAK) for name, value in row.items() if name != "name"]
        text = textwrap.fill(" ".join(cells), room, initial_indent="  ", subsequent_indent="  ")
        print(f"{row['name']}\n{text.replace(NO_BREAK, ' ').rstrip(';')}")


def _cells(row: ControllerRow) -> dict[str, object]:
    sooner = row.sooner
    times = "-" if sooner is None else f"{sooner.value:.2f}{_interval(sooner.low, sooner.high, '.2f')}"
    entropy = "-" if row.entropy_end is None else f"{row.entropy_begin:.1f} to {row.entropy_end:.1f}"
    return {
        "name": row.controller,
        "found": f"{100 * row.found:.0f} %",
        "first": _spread(row.first, ".0f"),
        "times sooner": times,
        "p": _p(row.first_against),
        "best": _spread(row.best, ".3f"),
        "chosen": _spread(row.chosen, ".3f"),
        "p of chosen": _p(row.chosen_against),
        "distinct": f"{100 * row.distinct_share.median:.0f} %",
        "entropy": entropy,
        "ms": f"{row.milliseconds:.2f}",
    }


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.median:{form}}{_interval(spread.low, spread.high, form)}"


def _interval(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f" [{low:{form}}, {high:{form}}]"


def _p(against: Against | None) -> str:
    if against is None:
        return "-"
    return "<0.001" if against.p_holm < 0.001 else f"{against.p_holm:.3f}"


def _legend(found: ControllerComparison) -> list[str]:
    short = [one for one in found.measured if one.ended != "budget"]
    ends = sorted({f"{one.controller} ({one.ended})" for one in short})
    return [
        f"found: searches with a rule of the top {100 * found.course.top_share:g} %; first: distinct children until the first, the budget",
        "where there was none. best, chosen: quality of the best child, and of the one with the best reward; -log of validation loss on",
        "the seeds that the search did not see. p: exact sign test against random, paired by seed, with Holm's correction over all p here.",
        "distinct: children / proposals. entropy: of the policy, nats. ms: CPU time in the controller, a proposal.",
        "Medians [95 % bootstrap intervals].",
        *([f"{len(short)} searches ended before their budget: {', '.join(ends)}"] if short else []),
    ]
