"""How much of a search's length is the noise of its rewards: controllers told the accuracy or the loss of one seed, or the quality itself.

    python benchmarks/told_rewards.py --controllers random,evolution --tables icml2017-digits-mlp --seeds 40

The quality is what searches are judged by, on the seeds that they do not see; told that, a controller has nothing left to mistake.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from controllers import create_controller
from neuropt.commands.printing import print_rows
from neuropt.comparing.table_search import search_table
from neuropt.comparing.trace import first_hit
from neuropt.tables.table import Judgement, Table
from neuropt.tables.table_file import load_table
from neuropt.training.threads import one_thread

TOLD = ("accuracy", "loss", "quality")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--controllers", default="random,evolution")
    parser.add_argument("--tables", default="icml2017-digits-mlp,icml2017-signals-mlp")
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=1_000)
    parser.add_argument("--budget", type=int, default=1_000)
    parser.add_argument("--by", type=int, default=600, help="children by which the share of searches is reported")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows = []
    for name in arguments.tables.split(","):
        table = load_table(name)
        for controller in arguments.controllers.split(","):
            for told in TOLD:
                with one_thread():
                    firsts = [first(table, controller, told, seed, arguments.budget) for seed in seeds]
                soon = float(np.mean([one <= arguments.by for one in firsts]))
                rows.append(
                    {
                        "table": name,
                        "controller": controller,
                        "told": told,
                        "first": float(np.median([min(one, arguments.budget) for one in firsts])),
                        f"by {arguments.by}": soon,
                    }
                )
    print_rows(rows, as_json=False)


def first(table: Table, controller: str, told: str, seed: int, budget: int) -> float:
    """Return the distinct children until the first rule of the top 0.1 %, infinity if none was found."""
    judged = judgement(table, told, seed)
    trace = search_table(table, judged, create_controller(controller, table.space, seed), budget, controller, seed)
    found = first_hit(trace.children, judged.top())
    return float("inf") if found is None else found


def judgement(table: Table, told: str, seed: int) -> Judgement:
    """Return what a search is told, and what it is judged by."""
    seen = (seed % len(table.seeds),)
    if told != "quality":
        return table.judge(seen, "loss" if told == "loss" else "accuracy")
    judged = table.judge(seen)
    # rejected strings earn 0: quality, minus log of a loss, may lie below
    return replace(judged, rewards=judged.qualities - judged.qualities.min())


if __name__ == "__main__":
    main()
