"""Numbers of a preset chosen by racing on complete tables, with seeds that no published comparison uses.

    python benchmarks/tuning_controllers.py --controller evolution --vary population=25,50 tournament=5,10 --out runs/tuning.csv

Candidates are the preset, and changes of it: all combinations of the given values, or as many drawn at random as are asked for. All
search the same tables from the same seeds; the better half goes on to as many further seeds as were searched before, rung by rung. A
candidate is worth the geometric mean of the distinct children until a search's first rule of the top, over the searches of all tables.

Every search is a line of the CSV at once; started again with the same file, the script does those that are missing.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controllers import load_preset
from neuropt.commands.printing import print_rows
from neuropt.comparing.measured import Measured
from neuropt.comparing.racing import Course, Entry, race

FIRST_SEED = 1_000
"""Published comparisons use those from 0 to 29."""
SOON = 600
"""Children by which the share of searches that found a rule of the top is reported."""
Floats = NDArray[np.float64]
FIELDS = ("controller", "overrides", "table", "budget", "seed", "first", "found", "distinct_share", "milliseconds")


@dataclass(frozen=True)
class Candidate:
    """A preset with some of its numbers changed.

    Args:
        controller: the preset.
        overrides: as a JSON object, its keys sorted.
    """

    controller: str
    overrides: str

    def entry(self, seed: int) -> Entry:
        """Return a search of it."""
        settings = load_preset(self.controller, json.loads(self.overrides)).settings
        return Entry(self.controller, settings, seed)


@dataclass(frozen=True)
class Search:
    """What is kept of one search: its children until the first rule of the top (the budget if none), and whether there was one."""

    first: int
    found: bool
    distinct_share: float


class Searches:
    """All searches so far, in memory and as lines of a file.

    Args:
        path: the CSV, made if it is not there.
        budget: distinct children of a search.
        workers: processes.
    """

    def __init__(self, path: Path, budget: int, workers: int) -> None:
        self.path, self.budget, self.workers = path, budget, workers
        self._done: dict[tuple[Candidate, str, int], Search] = {}
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    if int(line["budget"]) == budget:
                        candidate = Candidate(line["controller"], line["overrides"])
                        search = Search(int(line["first"]), line["found"] == "True", float(line["distinct_share"]))
                        self._done[candidate, line["table"], int(line["seed"])] = search
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write([FIELDS])

    def do(self, candidates: Sequence[Candidate], tables: Sequence[str], seeds: Sequence[int]) -> None:
        """Do what is missing."""
        for table in tables:
            missing = [(c, seed) for seed in seeds for c in candidates if (c, table, seed) not in self._done]
            entries = [candidate.entry(seed) for candidate, seed in missing]
            course = Course(table, self.budget, "accuracy", top_share=0.001)
            for position, (measured, _) in race(course, entries, min(self.workers, max(len(entries), 1))):
                self._keep(missing[position][0], table, measured)

    def of(self, candidate: Candidate, table: str) -> list[Search]:
        """Return the searches of a candidate on a table."""
        return list(self.by_seed(candidate, table).values())

    def by_seed(self, candidate: Candidate, table: str) -> dict[int, Search]:
        """Return them by their seed."""
        return {seed: search for (c, t, seed), search in self._done.items() if (c, t) == (candidate, table)}

    def _keep(self, candidate: Candidate, table: str, one: Measured) -> None:
        self._done[candidate, table, one.seed] = Search(one.first, one.found, one.distinct_share)
        found = (one.first, one.found, one.distinct_share, one.milliseconds)
        self._write([(candidate.controller, candidate.overrides, table, self.budget, one.seed, *found)])

    def _write(self, lines: Sequence[Sequence[object]]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--controller", default="ppo-mutants", help="the preset that is changed")
    parser.add_argument("--vary", nargs="*", default=[], metavar="NAME=VALUE,...", help="settings and their values")
    parser.add_argument("--change", nargs="*", default=[], metavar="NAME=VALUE,NAME=VALUE", help="a candidate each")
    parser.add_argument("--candidates", type=int, default=24, help="at most so many, drawn if there are more")
    parser.add_argument("--seeds", type=int, default=8, help="searches of each candidate on each table, first rung")
    parser.add_argument("--rungs", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--tables", default="icml2017-digits-mlp,icml2017-signals-mlp")
    parser.add_argument("--budget", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="CSV of all searches")
    arguments = parser.parse_args()
    if arguments.first_seed < FIRST_SEED:
        parser.error(f"--first-seed must be at least {FIRST_SEED}: the seeds below are for what is published")
    try:
        alive = drawn_candidates(arguments.controller, arguments.vary, arguments.candidates, arguments.change)
    except ValueError as error:
        parser.error(str(error))
    every, tables = list(alive), arguments.tables.split(",")
    searches = Searches(arguments.out, arguments.budget, arguments.workers)
    seeds, count = range(0), arguments.seeds
    for rung in range(arguments.rungs):
        seeds = range(arguments.first_seed, arguments.first_seed + count)
        searches.do(alive, tables, seeds)
        alive.sort(key=lambda candidate: worth(candidate, tables, searches))
        print(f"{len(alive)} candidates, {count} searches of each on each table")
        print_rows([cells(candidate, tables, searches) for candidate in alive], as_json=False)
        if rung == 0:
            print_rows(effects(searches, every, tables), as_json=False)
        print(flush=True)
        if rung < arguments.rungs - 1:
            alive, count = alive[: max(1, len(alive) // 2)], 2 * count


def drawn_candidates(controller: str, vary: Sequence[str], most: int, change: Sequence[str]) -> list[Candidate]:
    """Return the preset itself, changes that were drawn, and those that were given.

    Raises:
        ValueError: a setting that is not a preset's, or a bad value.
    """
    names = [one.partition("=")[0] for one in vary]
    values = [[_value(text) for text in one.partition("=")[2].split(",")] for one in vary]
    every = [json.dumps(dict(zip(names, one, strict=True)), sort_keys=True) for one in itertools.product(*values)]
    chosen = every if len(every) <= most else random.Random(0).sample(every, most)
    given = [dict(one.split("=", 1) for one in one_change.split(",")) for one_change in change]
    chosen += [json.dumps({name: _value(text) for name, text in one.items()}, sort_keys=True) for one in given]
    candidates = [Candidate(controller, overrides) for overrides in dict.fromkeys(["{}", *chosen])]
    for candidate in candidates:
        load_preset(controller, json.loads(candidate.overrides))
    return candidates


def effects(searches: Searches, candidates: Sequence[Candidate], tables: Sequence[str]) -> list[dict[str, object]]:
    """Return a line for each value of each setting that was varied: how its searches compare with all of the same table and seed.

    Values were drawn independently of each other, so that the other settings average out; after the first rung that is no longer so.
    """
    drawn = [(json.loads(c.overrides), table, searches.by_seed(c, table)) for c in candidates for table in tables]
    together: dict[tuple[str, int], list[float]] = {}
    for overrides, table, found in drawn:
        for seed, search in found.items() if overrides else ():
            together.setdefault((table, seed), []).append(np.log(search.first))
    told: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for overrides, table, found in drawn:
        for name, value in overrides.items():
            told.setdefault((name, str(value)), []).extend(
                (np.log(search.first) - np.mean(together[table, seed]), search.distinct_share)
                for seed, search in found.items()
            )
    return [_effect(name, value, *np.array(found).T) for (name, value), found in sorted(told.items()) if found]


def _effect(name: str, value: str, later: Floats, distinct: Floats) -> dict[str, object]:
    error = later.std() / math.sqrt(len(later))
    low, high = np.exp(later.mean() - 2 * error), np.exp(later.mean() + 2 * error)
    return {
        "setting": f"{name} {value}",
        "searches": len(later),
        "children needed, times all": f"{np.exp(later.mean()):.2f} [{low:.2f}, {high:.2f}]",
        "distinct": f"{distinct.mean():.3f}",
    }


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def worth(candidate: Candidate, tables: Sequence[str], searches: Searches) -> float:
    """Return the geometric mean of the children until the first rule of the top, tables counting equally."""
    return float(np.exp(np.mean([np.log([s.first for s in searches.of(candidate, table)]).mean() for table in tables])))


def cells(candidate: Candidate, tables: Sequence[str], searches: Searches) -> dict[str, object]:
    """Return a line for one candidate."""
    line: dict[str, object] = {"worth": round(worth(candidate, tables, searches))}
    for table in tables:
        found, name = searches.of(candidate, table), table.rpartition("icml2017-")[2]
        line[f"{name}: first"] = round(float(np.median([s.first for s in found])))
        line[f"{name}: by {SOON}"] = f"{np.mean([s.found and s.first <= SOON for s in found]):.2f}"
        line[f"{name}: distinct"] = f"{np.median([s.distinct_share for s in found]):.2f}"
    changed = ", ".join(f"{name} {value}" for name, value in json.loads(candidate.overrides).items())
    return {**line, "changed": changed or f"nothing ({candidate.controller})"}


if __name__ == "__main__":
    main()
