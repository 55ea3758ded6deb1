"""Would controllers find a top rule sooner if they began anew every so many children? Read from the searches of a comparison.

    neuropt compare-controllers --table icml2017-digits-mlp --controllers random,evolution,ppo,ppo-mutants --out DIR
    python benchmarks/restarts.py DIR --every 200 400 800

A controller that begins anew is a sequence of its searches of other seeds, each cut after that many children, drawn at random 10,000 times.
Rules that an earlier part has trained are counted again, which a ledger would not do, so restarts are a little better than shown.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuropt.commands.printing import print_rows
from neuropt.comparing.written import SEARCHES

DRAWS = 10_000
BY = 600


def main() -> None:
    """Print a line for each controller."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", type=Path, help="folder of `neuropt compare-controllers --out`")
    parser.add_argument("--every", type=int, nargs="+", default=[200, 400, 800], help="children between restarts")
    arguments = parser.parse_args()
    rows = []
    for controller, firsts in first_hits(arguments.comparison / SEARCHES).items():
        row: dict[str, object] = {"controller": controller, "searches": len(firsts)}
        for every in (None, *arguments.every):
            found = firsts if every is None else restarted(firsts, every, np.random.default_rng(0))
            name = "as it is" if every is None else f"anew every {every}"
            row[name] = float(np.median(found))
            row[f"by {BY}" + ("" if every is None else f", {every}")] = round(float(np.mean(found <= BY)), 3)
        rows.append(row)
    print_rows(rows, as_json=False)


def first_hits(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the children until the first top rule of every search, infinity where there was none."""
    found: dict[str, list[float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            found.setdefault(line["controller"], []).append(float(line["first"]) if line["found"] == "True" else np.inf)
    return {controller: np.array(firsts) for controller, firsts in found.items()}


def restarted(firsts: NDArray[np.float64], every: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the children until the first top rule of drawn sequences of searches, each ended after so many children.

    >>> restarted(np.array([50.0, np.inf]), 100, np.random.default_rng(0))[:4]
    array([150.,  50.,  50.,  50.])
    """
    soon = firsts[firsts <= every]
    if not len(soon):
        return np.full(DRAWS, np.inf)
    missed = rng.geometric(len(soon) / len(firsts), DRAWS) - 1
    drawn: NDArray[np.float64] = missed * every + rng.choice(soon, DRAWS)
    return drawn


if __name__ == "__main__":
    main()
