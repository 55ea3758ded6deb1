"""What it costs that children train in a process that can be ended: a trial's time less the time its trainer spent training.

python benchmarks/guard.py --trials 20
"""

from __future__ import annotations

import argparse
import pickle
import time
from statistics import median

import torch

from controllers import create_controller
from neuropt.searching.guard import Guard
from neuropt.searching.guard_process import GuardProcess
from neuropt.searching.limits import GIB, Limits
from neuropt.searching.proposing import Proposer
from neuropt.searching.trainer import Broken
from neuropt.tasks import get_task, load_task_data
from neuropt.training.learning_rates import learning_rates
from neuropt.training.recording import record_trajectory
from neuropt.training.work import Done, Job, Work, do_work
from search_space import load_space

LIMITS = Limits(3_600.0, 8 * GIB)


class TimedGuard(Guard):
    """A guard that adds up the time its trainers say they spent."""

    trained = 0.0

    def _attempt(self, work: Work) -> Done | Broken:
        end = super()._attempt(work)
        self.trained += end.seconds if isinstance(end, Done) else 0.0
        return end


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
    process = GuardProcess(pickle.dumps(task), None, (LIMITS.seconds, LIMITS.memory), {})
    print(f"start of a guard's process: {time.perf_counter() - began:.2f} s")
    guard = TimedGuard(task, data, LIMITS)
    inner, outer, whole = [], [], []
    for trial in range(1 + arguments.trials):
        rows = [row for row in proposer.next_rules(arguments.rules) if row.status == "new"]
        work = Work(tuple(Job(row.rule, learning_rates("scaled", row.scale or 1.0)) for row in rows), (0,))
        guard.trained, began = 0.0, time.perf_counter()
        done = guard.train(work)
        inner.append(time.perf_counter() - began - guard.trained)  # guard and trainer
        began = time.perf_counter()
        apart = Done.from_json(process.train(work.to_json()))
        whole.append(time.perf_counter() - began)
        outer.append(whole[-1] - apart.seconds)  # worker and guard
        if not trial:
            assert done.trained == apart.trained == do_work(work, task, data).trained, "the same to the last bit"
    cost = median(a + b for a, b in zip(inner[1:], outer[1:], strict=True))  # the first trial starts a trainer
    print(
        f"{task.name}, {arguments.trials} trials of {arguments.rules} rules, medians: {1e3 * median(whole[1:]):.0f} ms a trial"
    )
    print(
        f"messages between guard and trainer {1e3 * median(inner[1:]):.2f} ms, worker and guard {1e3 * median(outer[1:]):.2f} ms"
    )
    print(
        f"together {100 * cost / median(whole[1:]):.2f} % of a trial; the first trial's {1e3 * inner[0]:.0f} ms start a trainer"
    )
    guard.close()
    process.close()


if __name__ == "__main__":
    main()
