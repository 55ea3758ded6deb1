"""What random search needs on a complete table, from as many searches as one likes, and how many times sooner a comparison's searches were.

    python benchmarks/random_reference.py --table icml2017-digits-mlp --comparison DIR

Random search learns nothing, so its searches need no controller: strings are drawn as it draws them, every allowed token equally
probable at its position, and looked up. Thirty searches leave its median, and every ratio to it, uncertain by a factor of three; four
thousand do not.

The second table says how much depends on who judges: for each seed that a search may see, where the rules of the top (judged by the other
seeds) stand in the order of the seen seed's rewards, and how many of them are of the top too when another seed is the seen one.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuropt.commands.printing import print_rows
from neuropt.comparing.written import SEARCHES
from neuropt.evaluating.statistics import median_interval
from neuropt.tables.enumerating import allowed_strings, string_numbers
from neuropt.tables.table import Judgement, Table
from neuropt.tables.table_file import load_table
from search_space import SearchSpace

Floats = NDArray[np.float64]
RESAMPLES = 4_000
BY = 600


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="icml2017-digits-mlp")
    parser.add_argument(
        "--searches", type=int, default=4_000, help="of random search, shared by the seeds of the table"
    )
    parser.add_argument("--budget", type=int, default=2_000, help="children of a search: the comparison's")
    parser.add_argument("--seed", type=int, default=1_000)
    parser.add_argument("--comparison", type=Path, help="folder of `neuropt compare-controllers --out` on this table")
    arguments = parser.parse_args()
    table = load_table(arguments.table)
    judged = [table.judge((seen,)) for seen in range(len(table.seeds))]
    rng = np.random.default_rng(arguments.seed)
    each = arguments.searches // len(judged)
    firsts = np.concatenate([random_firsts(table, one.top(), each, arguments.budget, rng) for one in judged])
    reference = np.minimum(firsts, arguments.budget)
    low, high = median_interval(reference.tolist()) or (np.nan, np.nan)
    found, soon = np.isfinite(firsts).mean(), (firsts <= BY).mean()
    print(
        f"random search on {table.name}: {len(firsts):,} searches, found {found:.3f}, by {BY} {soon:.3f}, "
        f"first {np.median(reference):.0f} [{low:.0f}, {high:.0f}]"
    )
    if arguments.comparison is not None:
        print_rows(
            [cells(name, of_it, reference, rng) for name, of_it in searches(arguments.comparison)], as_json=False
        )
    print()
    print_rows([standing(one, judged) for one in judged], as_json=False)


def chances(space: SearchSpace) -> tuple[NDArray[np.int64], Floats]:
    """Return the numbers of all allowed strings, and how probable each is in random search."""
    strings = allowed_strings(space)
    chance = np.ones(len(strings))
    for k in range(strings.shape[1]):
        prefixes, row = np.unique(strings[:, :k], axis=0, return_inverse=True)
        chance /= space.masks(prefixes).sum(axis=1)[row.reshape(-1)]
    return string_numbers(space, strings), chance


def random_firsts(table: Table, top: NDArray[np.int64], count: int, budget: int, rng: np.random.Generator) -> Floats:
    """Return the distinct children until the first rule of the top in each of some random searches; infinity beyond the budget."""
    numbers, chance = chances(table.space)
    rule_of, ends = table.rule_of[numbers], np.cumsum(chance)
    hit = np.zeros(len(table.rules), np.bool_)
    hit[top] = True
    firsts = np.full(count, np.inf)
    for i in range(count):
        seen: NDArray[np.int32] = np.zeros(0, np.int32)
        while len(seen) < budget:  # nearly always once
            drawn = rule_of[np.searchsorted(ends, ends[-1] * rng.random(6 * budget), side="right")]
            seen = in_order(np.concatenate([seen, drawn[drawn >= 0]]))
        places = np.flatnonzero(hit[seen[:budget]])
        firsts[i] = places[0] + 1 if places.size else np.inf
    return firsts


def in_order(rules: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return each rule once, where it came first."""
    return rules[np.sort(np.unique(rules, return_index=True)[1])]


def searches(folder: Path) -> list[tuple[str, Floats]]:
    """Return the children until the first rule of the top of every search, the budget where there was none, by controller."""
    found: dict[str, list[float]] = {}
    with (folder / SEARCHES).open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            found.setdefault(line["controller"], []).append(float(line["first"]))
    return [(name, np.array(firsts)) for name, firsts in found.items()]


def cells(name: str, firsts: Floats, reference: Floats, rng: np.random.Generator) -> dict[str, object]:
    """Return a line for one controller: the ratio of medians, both sides drawn anew on their own."""

    def drawn(values: Floats) -> Floats:
        return np.array([np.median(rng.choice(values, len(values))) for _ in range(RESAMPLES)])

    low, high = np.quantile(drawn(reference) / drawn(firsts), (0.025, 0.975))
    ratio = np.median(reference) / np.median(firsts)
    return {
        "controller": name,
        "searches": len(firsts),
        "first": float(np.median(firsts)),
        "times sooner": f"{ratio:.2f} [{low:.2f}, {high:.2f}]",
    }


def standing(one: Judgement, every: list[Judgement]) -> dict[str, object]:
    """Return a line for one seen seed: the places of its top in the order of its rewards, the middle one among equals."""
    top = one.top()
    places = [(one.rewards > r).sum() + (one.rewards == r).sum() / 2 + 0.5 for r in one.rewards[top]]
    shared = [len(np.intersect1d(top, other.top())) for other in every if other is not one]
    return {
        "seen seed": one.seen[0],
        "rules of the top": len(top),
        "their median place by reward": float(np.median(places)),
        "from": float(min(places)),
        "to": float(max(places)),
        "of the top for other seen seeds": ", ".join(map(str, shared)),
    }


if __name__ == "__main__":
    main()
