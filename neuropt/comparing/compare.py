"""Compare controllers on a complete table."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from controllers import build_controller, load_preset
from neuropt.comparing.comparison import compare_measured
from neuropt.comparing.controller_comparison import ControllerComparison
from neuropt.comparing.measured import Curves, Measured
from neuropt.comparing.racing import Course, Entry, Result, race
from neuropt.comparing.written import FILES
from neuropt.config import Reward
from neuropt.searching.warm_start import named_strings
from neuropt.tables.table_file import load_table
from neuropt.writing import out_folder

MOST_SEEDS = 10_000


def compare_controllers(
    table: str | Path,
    controllers: Sequence[str],
    budget: int = 2_000,
    seeds: int = 30,
    seed: int = 0,
    reward: Reward = "accuracy",
    top_share: float = 0.001,
    warm_start: str | None = None,
    workers: int | None = None,
    out: Path | str | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> ControllerComparison:
    """Let controllers search a complete table, many times each, and compare how soon they find good rules.

    A search is told the reward of one seed of the table, another one from search to search; what it found is judged by the other seeds.

    Args:
        table: a name of `neuropt table list`, or the file of one's own.
        controllers: names of `neuropt controllers`, TOML files, or FILE.py:NAME; `random` is what the others are tested against.
        budget: distinct rules that each search trains.
        seeds: searches of each controller.
        seed: of the first search; the others follow.
        reward: what controllers are told.
        top_share: share of the table's rules that is looked for, the best by quality.
        warm_start: rules that every controller begins with, such as "adam,signum"; commas between.
        workers: processes; None for every CPU. More than one are started afresh, so a script needs `if __name__ == "__main__":`.
        out: folder for `searches.csv`, `curves.csv`, `comparison.json` and `comparison.svg`.
        progress: told (searches done, of how many).

    Raises:
        ValueError: a bad name or number, or a folder that holds a comparison already; nothing was searched then.

    Example:
        >>> found = compare_controllers("icml2017-digits-mlp", ["random", "evolution"], budget=60, seeds=6, workers=1)
        >>> [row.controller for row in found.rows]
        ['random', 'evolution']
    """
    entries = _entries(controllers, _whole("seeds", seeds, 1, MOST_SEEDS), _whole("seed", seed, 0, 2**31 - MOST_SEEDS))
    if reward not in get_args(Reward):
        raise ValueError(f"reward must be one of {', '.join(get_args(Reward))}, but got {reward!r}")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cpus if workers is None else _whole("workers", workers, 1, 1_000), len(entries))
    if not 0.0 < top_share <= 1.0:
        raise ValueError(f"top_share must be above 0 and at most 1, but got {top_share!r}")
    loaded = load_table(table)
    _whole("budget", budget, 1, len(loaded.rules))
    named_strings(warm_start or "", loaded.space)  # each search reads them again; here they are checked
    for settings in {entry.controller: entry.settings for entry in entries}.values():
        build_controller(settings, loaded.space, seed)  # likewise: a file of one's own may be faulty
    course = Course(str(table), budget, reward, top_share, warm_start)
    results: dict[int, Result] = {}
    with out_folder(None if out is None else Path(out), FILES, "comparison"):
        for position, result in race(course, entries, workers):
            results[position] = result
            progress(len(results), len(entries))
    ordered = [results[position] for position in range(len(entries))]
    measured: tuple[Measured, ...] = tuple(one for one, _ in ordered)
    lines: tuple[Curves, ...] = tuple(curve for _, curve in ordered)
    comparison = ControllerComparison(
        table=loaded.name,
        table_sha256=loaded.sha256,
        rules=len(loaded.rules),
        course=course,
        seeds=tuple(range(seed, seed + seeds)),
        settings={entry.controller: entry.settings for entry in entries},
        measured=measured,
        curves=lines,
        rows=compare_measured(measured),
    )
    if out is not None:
        comparison.save(Path(out))
    return comparison


def _entries(controllers: Sequence[str], seeds: int, seed: int) -> list[Entry]:
    names = [name.strip() for name in controllers if name.strip()]
    if not names:
        raise ValueError("controllers must name at least one of `neuropt controllers`, but got none")
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"controllers must be different, but got {twice[0]!r} twice")
    presets = {name: load_preset(name).settings for name in names}
    # seed by seed, so that an early look at the progress has seen all controllers
    return [Entry(name, settings, at) for at in range(seed, seed + seeds) for name, settings in presets.items()]


def _whole(name: str, value: int, lowest: int, highest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{name} must be a whole number from {lowest:,} to {highest:,}, but got {value!r}")
    return value
