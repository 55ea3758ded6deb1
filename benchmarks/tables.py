"""What a search on a complete table costs: loading, a look at a string, judging all rules, and whole searches with their ledger.

python benchmarks/tables.py [--table NAME] [--rules 1000] [--controllers random evolution ppo]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuropt import SearchConfig, run_search
from neuropt.tables.table_file import find_table, read_table
from neuropt.tables.table_source import TABLE

LOOKS = 100_000
REPEATS = 5


def seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median processor time of a call: other work on the machine does not count, and waiting for the disk does not either."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="icml2017-digits-mlp")
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--controllers", nargs="+", default=["random", "evolution", "ppo"])
    arguments = parser.parse_args()
    path = find_table(arguments.table)
    table = read_table(path)
    strings = np.random.default_rng(0).integers(0, table.space.choices, (LOOKS, len(table.space.choices)))
    looked_up = [tuple(tokens) for tokens in strings.tolist()]

    def look() -> None:
        for tokens in looked_up:
            table.lookup(tokens)

    print("| what | processor time |\n|---|---|")
    print(
        f"| read and check {path.name}, {path.stat().st_size / 1e6:.1f} MB | {1e3 * seconds(lambda: read_table(path)):.0f} ms |"
    )
    print(f"| look a string up | {1e6 * seconds(look) / LOOKS:.1f} us |")
    judged = seconds(lambda: read_table(path).judge()) - seconds(lambda: read_table(path))
    print(f"| rewards and qualities of all {len(table.rules):,} rules | {1e3 * judged:.0f} ms |")
    for controller in arguments.controllers:
        config = SearchConfig(
            space=table.space.name,
            groups=table.space.groups,
            task=f"{TABLE}{arguments.table}",
            controller=controller,
            rules=arguments.rules,
            finalists=0,
        )
        with tempfile.TemporaryDirectory() as folder:
            taken = seconds(lambda folder=folder, config=config: run_search(config, Path(folder) / "run"), repeats=1)  # type: ignore[misc]  # defaults bind the loop's values
        print(
            f"| a search for {arguments.rules:,} rules, {controller}, ledger included | {1e6 * taken / arguments.rules:,.0f} us a rule |"
        )


if __name__ == "__main__":
    main()
