"""What it costs that children train in a process that can be ended: the same trials in this process and by a guard, in turn.

python benchmarks/guard.py --trials 20
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Callable
from statistics import median

import torch

from controllers import create_controller
from neuropt.searching.guard_process import GuardProcess
from neuropt.searching.limits import GIB
from neuropt.searching.proposing import Proposer
from neuropt.tasks import get_task, load_task_data
from neuropt.training.learning_rates import learning_rates
from neuropt.training.recording import record_trajectory
from neuropt.training.work import Done, Job, Work, do_work
from search_space import load_space


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--task", default="digits-mlp")
    parser.add_argument("--rules", type=int, default=20, help="in a trial")
    parser.add_argument("--trials", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = get_task(arguments.task)
    data = load_task_data(task)
    space = load_space("arxiv2017", groups=2)
    proposer = Proposer(create_controller("random", space, seed=0), space, record_trajectory(task, data))
    began = time.perf_counter()
    guard = GuardProcess(pickle.dumps(task), None, (3_600.0, 8 * GIB), {})
    print(f"start of a guard: {time.perf_counter() - began:.2f} s")
    here, guarded = [], []
    for trial in range(1 + arguments.trials):
        rows = [row for row in proposer.next_rules(arguments.rules) if row.status == "new"]
        work = Work(tuple(Job(row.rule, learning_rates("scaled", row.scale or 1.0)) for row in rows), (0,))
        a, one = timed(lambda work=work: do_work(work, task, data))
        b, other = timed(lambda work=work: Done.from_json(guard.train(work.to_json())))
        assert one.trained == other.trained, "the same numbers, to the last bit"
        if trial:  # the first warms both up
            here.append(a)
            guarded.append(b)
    empty = [timed(lambda: Done.from_json(guard.train(Work((), (0,)).to_json())))[0] for _ in range(200)]
    ratios = [b / a for a, b in zip(here, guarded, strict=True)]
    print(f"{task.name}, {arguments.trials} trials of {arguments.rules} rules, medians")
    print(f"in this process {1e3 * median(here):.0f} ms, by a guard {1e3 * median(guarded):.0f} ms")
    print(
        f"ratio of the two, trial by trial: {median(ratios):.3f}; an empty message there and back {1e3 * median(empty):.2f} ms"
    )
    guard.close()


def timed(do: Callable[[], Done]) -> tuple[float, Done]:
    began = time.perf_counter()
    done = do()
    return time.perf_counter() - began, done


if __name__ == "__main__":
    main()
