"""Controllers compared live: whole searches with children that are trained, and their finalists on fresh seeds.

    python benchmarks/live_controllers.py --out runs/live                # 4 controllers, 5 runs each: half an hour or more
    python benchmarks/live_controllers.py --out runs/live --only-read    # the tables again, from what is there

Every run is a `neuropt search` in a folder of its own; started again, the script goes on where it was. A rule is good if its reward is
among the best tenth of all that random search trained, so that random search has a share of about 0.1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuropt.commands.printing import print_rows
from neuropt.comparing.comparison import REFERENCE
from neuropt.config import SearchConfig
from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import spread
from neuropt.searching.ledger import open_ledger
from neuropt.searching.recorded import finalist_rows
from neuropt.searching.run_folder import LEDGER
from neuropt.searching.search import run_search

GOOD = 0.1
LAST = 500
RESAMPLES = 10_000


@dataclass(frozen=True)
class Run:
    """One search that is over.

    Args:
        controller, seed: which.
        rewards: of its trained rules, in the order of asking, (rules,).
        finalists: its best rules on fresh seeds, with newly tuned learning rates.
        built_ins: tuned optimizers on the same seeds.
    """

    controller: str
    seed: int
    rewards: np.ndarray[tuple[int], np.dtype[np.float64]]
    finalists: list[Row]
    built_ins: list[Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--controllers", default="random,evolution,ppo-mutants,ppo")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    parser.add_argument("--space", default="icml2017")
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--rules", type=int, default=2_000)
    parser.add_argument(
        "--reward", help="what controllers are told: accuracy or loss; the task's own unless told otherwise"
    )
    parser.add_argument("--finalist-seeds", type=int, default=10)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--executor", default="tune", help="in-process trains without Ray, on one core")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs' folders")
    parser.add_argument("--only-read", action="store_true", help="search nothing, read the runs that are over")
    arguments = parser.parse_args()
    runs = []
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        for controller in arguments.controllers.split(","):
            config = SearchConfig(
                space=arguments.space,
                groups=arguments.groups,
                controller=controller,
                task=arguments.task,
                rules=arguments.rules,
                seed=seed,
                reward=arguments.reward,
                finalist_seeds=arguments.finalist_seeds,
                workers=arguments.workers,
                executor=arguments.executor,
            )
            folder = arguments.out / f"{Path(controller).stem}-{seed}"
            if not arguments.only_read and not is_over(folder):
                begun = (folder / LEDGER).exists()
                run_search(SearchConfig() if begun else config, folder, resume=begun)
                print(f"{folder} is over", flush=True)
            if is_over(folder):
                runs.append(read(folder, controller, seed))
    if not runs:
        parser.error(f"no run in {arguments.out} is over")
    report(runs)


def is_over(folder: Path) -> bool:
    """Whether the run has its finalists."""
    if not (folder / LEDGER).exists():
        return False
    with closing(open_ledger(folder / LEDGER)) as ledger:
        return bool(ledger.finalists())


def read(folder: Path, controller: str, seed: int) -> Run:
    """Read a run that is over."""
    with closing(open_ledger(folder / LEDGER)) as ledger:
        rows = finalist_rows(ledger)
        rewards = np.array([reward for _, reward in ledger.earned()])
    return Run(controller, seed, rewards, [r for r in rows if r.searched], [r for r in rows if not r.searched])


def report(runs: list[Run]) -> None:
    """Print how many good rules were trained last, and what the best are worth on fresh seeds."""
    reference = [run.rewards for run in runs if run.controller == REFERENCE]
    bound = float(np.quantile(np.concatenate(reference), 1 - GOOD)) if reference else None
    print_rows([cells(run, bound) for run in runs], as_json=False)
    print()
    by_name = {
        name: [run for run in runs if run.controller == name] for name in dict.fromkeys(r.controller for r in runs)
    }
    print_rows([together(name, of_it, bound) for name, of_it in by_name.items()], as_json=False)
    if REFERENCE in by_name:
        print()
        others = [name for name in by_name if name != REFERENCE]
        print_rows([against(name, by_name[name], by_name[REFERENCE]) for name in others], as_json=False)
    print(f"good: reward above {bound}, the best tenth of random search's rules, among the last {LAST}.")
    print(
        "finalists: each rule's median over fresh seeds, at newly tuned learning rates; losses are of validation and of test data."
    )
    print(
        "built-in: the best by validation loss of the optimizers that were tuned alike. [..]: 95 % intervals, of medians over rules,"
    )
    print("and of differences, where seeds are drawn anew and then the finalists of their runs.")


def cells(run: Run, bound: float | None) -> dict[str, object]:
    """Return a line for one run."""
    best = min(run.finalists, key=loss)
    return {
        "run": f"{run.controller}-{run.seed}",
        "rules": len(run.rewards),
        "good in the last": share(run, bound),
        "best reward": float(run.rewards.max()),
        "best finalist's loss": loss(best),
        "its test loss": test_loss(best),
        "built-in's loss": min(map(loss, run.built_ins)),
        "rule": best.rule,
    }


def together(controller: str, runs: list[Run], bound: float | None) -> dict[str, object]:
    """Return a line for all runs of a controller."""
    finalists = [row for run in runs for row in run.finalists]
    shares = [one for run in runs if (one := share(run, bound)) is not None]
    return {
        "controller": controller,
        "runs": len(runs),
        "good in the last": float(np.median(shares)) if shares else None,
        "from": min(shares, default=None),
        "to": max(shares, default=None),
        "best finalists' loss, median": float(np.median([min(map(loss, run.finalists)) for run in runs])),
        "finalists": len(finalists),
        "their loss": interval([loss(row) for row in finalists]),
        "their test loss": interval([test_loss(row) for row in finalists]),
    }


def against(controller: str, runs: list[Run], reference: list[Run]) -> dict[str, object]:
    """Return a line: what the finalists of a controller lose less than those of random search."""
    return {
        "controller": f"{controller} - {REFERENCE}",
        "finalists' loss": difference(runs, reference, loss),
        "their test loss": difference(runs, reference, test_loss),
        "best finalist's loss": difference(runs, reference, loss, best=True),
        "its test loss": difference(runs, reference, test_loss, best=True),
    }


def difference(runs: list[Run], reference: list[Run], value: Callable[[Row], float], best: bool = False) -> str:
    """Return the difference of medians with a 95 % bootstrap interval.

    Only seeds that both have run are compared, since a seed also says what its finalists are trained and judged on. Seeds are drawn anew,
    and then the finalists of each run.

    Args:
        best: of each run only the finalist with the least validation loss.
    """
    ours, theirs = ({run.seed: finalists(run, value, best) for run in of_it} for of_it in (runs, reference))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return "-"
    rng = np.random.default_rng(0)

    def drawn(of_it: dict[int, list[float]], several: list[int]) -> float:
        return float(np.median(np.concatenate([rng.choice(of_it[seed], len(of_it[seed])) for seed in several])))

    middles = [float(np.median([one for seed in seeds for one in of_it[seed]])) for of_it in (ours, theirs)]
    resampled = []
    for _ in range(RESAMPLES):
        several = rng.choice(seeds, len(seeds)).tolist()
        resampled.append(drawn(ours, several) - drawn(theirs, several))
    low, high = np.quantile(resampled, (0.025, 0.975))
    return f"{middles[0] - middles[1]:+.4f} [{low:+.4f}, {high:+.4f}]"


def finalists(run: Run, value: Callable[[Row], float], best: bool) -> list[float]:
    """Return what a run's finalists are worth, or its best one."""
    return [value(row) for row in ([min(run.finalists, key=loss)] if best else run.finalists)]


def share(run: Run, bound: float | None) -> float | None:
    """Return the share of good rules among the last that were asked for."""
    return None if bound is None else float(np.mean(run.rewards[-LAST:] > bound))


def loss(row: Row) -> float:
    """Return the median validation loss; infinity for one that could not be trained."""
    return float("inf") if row.loss is None else row.loss.median


def test_loss(row: Row) -> float:
    """Return the median test loss, likewise."""
    return float("inf") if row.test_loss is None else row.test_loss.median


def interval(values: list[float]) -> str:
    """Return a median with its interval."""
    found = spread(values)
    return f"{found.median:.4f}" + ("" if found.low is None else f" [{found.low:.4f}, {found.high:.4f}]")


if __name__ == "__main__":
    main()
