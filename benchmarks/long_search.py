"""A search of many rules whose children are trivial: does the driver keep its pace and its memory, and how soon does it go on?

python benchmarks/long_search.py --rules 20000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from neuropt.searching.ledger import open_ledger
from neuropt.searching.run_folder import LEDGER, find_run, run_config
from neuropt.searching.search import resumed_engine
from neuropt.searching.snapshots import FILE
from neuropt.searching.source import source_of
from neuropt.searching.status import run_status
from search_space import load_space

MIB = 2**20
POINTS = 10


def search(run: Path, rules: int, more: list[str]) -> tuple[list[tuple[int, float, float, float]], float]:
    """Search; return (rules, seconds, MiB of the driver, MiB of the ledger) at some points, and the seconds of the whole."""
    command = [sys.executable, "-m", "neuropt", "search", "--run", str(run), "--rules", str(rules), "--steps", "1"]
    began = time.perf_counter()
    driver = subprocess.Popen([*command, "--finalists", "0", *more], stdout=subprocess.DEVNULL)
    points: list[tuple[int, float, float, float]] = []
    first = 0.0
    while driver.poll() is None:
        time.sleep(0.5)
        if not (run / LEDGER).exists():
            continue
        done = run_status(run).trained
        first = first or (time.perf_counter() if done else 0.0)
        if done >= rules * (len(points) + 1) / POINTS or (done and not points):
            points.append((done, time.perf_counter() - first, _resident(driver.pid), _size(run)))
    if driver.returncode:
        raise SystemExit(f"the search ended with {driver.returncode}")
    return points, time.perf_counter() - began


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) * 1024 / MIB
    except (OSError, IndexError):
        return float("nan")


def _size(run: Path) -> float:
    return sum(path.stat().st_size for path in run.glob(f"{LEDGER}*")) / MIB


def resume_seconds(run: Path) -> float:
    """Return how long it takes to be where a search was."""
    config = run_config(run)
    source, space = source_of(config), load_space(config.space, config.groups)
    source.prepare(space)
    began = time.perf_counter()
    with closing(open_ledger(run / LEDGER, read_only=False)) as ledger:
        resumed_engine(config, source, space, ledger, False, None, run)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rules", type=int, default=20_000)
    parser.add_argument("--executor", default="tune", choices=("tune", "in-process"))
    parser.add_argument("--controller", default="ppo")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        more = ["--executor", arguments.executor, "--controller", arguments.controller]
        points, seconds = search(run, arguments.rules, more)
        table = Table("rules", "rules/s since the last line", "driver, MiB", "ledger, MiB", box=None)
        for (before, then, *_), (done, now, memory, ledger) in pairwise(points):
            table.add_row(f"{done:,}", f"{(done - before) / (now - then):.1f}", f"{memory:.0f}", f"{ledger:.1f}")
        console = Console(width=100)
        console.print(table)
        print(f"the whole search: {seconds:.0f} s; ledger at its end: {_size(find_run(str(run))):.1f} MiB")
        print(f"going on from its snapshot: {resume_seconds(run):.2f} s")
        (run / FILE).unlink(missing_ok=True)
        print(f"going on from the ledger alone: {resume_seconds(run):.2f} s")


if __name__ == "__main__":
    main()
