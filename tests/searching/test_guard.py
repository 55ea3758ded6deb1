"""Rules and models that go wrong for real, in the process of a guard; Ray is not needed."""

import os
import pickle
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt.searching.guard import Guard
from neuropt.searching.guard_process import GuardDied, GuardProcess, WorkerError, environment
from neuropt.searching.limits import LEAST_SECONDS, Limits, usual_seconds
from neuropt.searching.trainer import Broken
from neuropt.tasks.digits import DIGITS_MLP
from neuropt.tasks.task import Source, TaskData
from neuropt.training.work import Done, Job, Work, do_work
from tests.searching import faults
from tests.searching.faults import FAULTY, FAULTY_DATA, MEGABYTE, job
from tests.searching.searches import DATA, TASK

HURRIED = Limits(seconds=0.4, memory=300 * MEGABYTE)
LIMITS = Limits(seconds=30.0, memory=300 * MEGABYTE)  # a busy machine may need seconds to fill the memory
PATIENT = Limits(seconds=1_000.0, memory=2_000 * MEGABYTE)


@pytest.fixture(scope="module")
def guard() -> Iterator[Guard]:
    guard = Guard(FAULTY, FAULTY_DATA, LIMITS)
    yield guard
    guard.close()


TIMELESS = (
    (faults.allocate, r"needed more than 0\.293 GiB of memory"),
    (faults.allocate_shared, r"needed more than 0\.293 GiB of memory"),
    (faults.reserve, r"needed more than 0\.293 GiB of memory"),
    (faults.raise_an_error, r"ValueError: this model is broken"),
    (faults.leave, r"ended its process: SystemExit: 3"),
    (faults.exit_at_once, r"ended its process: exit code 7"),
    (faults.crash, r"ended its process: SIGSEGV"),
)


def assert_it_costs_its_own_rule_alone(guard: Guard, fault: Callable[[], None], reason: str) -> None:
    work = Work((job(None), job(fault), Job("0.2 * g", (1.0,))), (3, 4), halving=False)
    fine = replace(work, jobs=(work.jobs[0], work.jobs[2]))
    done = guard.train(work)
    assert (done.trained[0], done.trained[2]) == do_work(fine, FAULTY, FAULTY_DATA).trained
    assert done.trained[1].children == ()
    assert re.match(reason, done.trained[1].failure or ""), done.trained[1].failure


@pytest.mark.parametrize(("fault", "reason"), TIMELESS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_costs_its_own_rule_alone(guard: Guard, fault: Callable[[], None], reason: str) -> None:
    assert_it_costs_its_own_rule_alone(guard, fault, reason)


@pytest.mark.parametrize("fault", [faults.sleep, faults.loop_in_c])
def test_a_child_without_end_costs_its_own_rule_alone(fault: Callable[[], None]) -> None:
    guard = Guard(FAULTY, FAULTY_DATA, HURRIED)
    try:
        assert_it_costs_its_own_rule_alone(guard, fault, r"took longer than 0\.8 s, 0\.4 s a child")
    finally:
        guard.close()


def test_nan_is_a_result(guard: Guard) -> None:
    done = guard.train(Work((job(faults.return_nan),), (0,), halving=False))
    assert [child.status for child in done.trained[0].children[0]] == ["diverged"]


def test_limits_grow_with_the_task_and_are_never_tight() -> None:
    assert usual_seconds(TASK, DATA) == LEAST_SECONDS
    assert usual_seconds(TASK.with_budget(10_000_000), DATA) > 100 * LEAST_SECONDS


RULES = ("g", "m", "adam")
TOGETHER = Work(tuple(Job(rule, (0.001, 0.01)) for rule in RULES), (0, 1), halving=False)
LONG = TASK.with_budget(500)  # a second or so; a trainer is killed after a twentieth of one


class Counting(Guard):
    """A guard that keeps how many rules it had trained at a time."""

    def __init__(self) -> None:
        super().__init__(LONG, DATA, PATIENT)
        self.attempts: list[int] = []

    def _attempt(self, work: Work) -> Done | Broken:
        self.attempts.append(len(work.jobs))
        return super()._attempt(work)


@contextmanager
def killing(guard: Guard, times: int) -> Iterator[None]:
    """Kill the guard's trainers from outside, a while after they began."""
    killed: list[int] = []

    def kill() -> None:
        while len(killed) < times:
            trainer = guard.trainer
            if trainer is not None and trainer.pid not in killed:
                time.sleep(0.05)
                killed.append(trainer.pid)
                os.kill(trainer.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield
    thread.join(60)


def test_a_population_that_was_killed_from_outside_is_trained_again_to_the_same_bits() -> None:
    guard = Counting()
    with killing(guard, times=1):
        done = guard.train(TOGETHER)
    assert guard.attempts == [3, 3]
    assert done.trained == do_work(TOGETHER, LONG, DATA).trained
    guard.close()


def test_after_a_second_death_each_rule_is_trained_alone_and_none_is_blamed_that_trains() -> None:
    guard = Counting()
    with killing(guard, times=2):
        done = guard.train(TOGETHER)
    assert guard.attempts == [3, 3, 1, 1, 1]
    alone = [do_work(replace(TOGETHER, jobs=(job,)), LONG, DATA).trained[0] for job in TOGETHER.jobs]
    assert list(done.trained) == alone
    guard.close()


def start_guard(task: object = FAULTY, facts: dict[str, str] | None = None) -> GuardProcess:
    return GuardProcess(pickle.dumps(task), None, (1_000.0, 300 * MEGABYTE), facts or {})


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_trainer_ends_with_its_guard_even_while_it_loops_in_c() -> None:
    guard = start_guard(facts=environment(FAULTY_DATA.sha256))
    trainers: list[int] = []

    def kill_the_guard() -> None:
        while not trainers:
            trainers.extend(children_of(guard.process.pid))
        while cpu_seconds(trainers[0]) < 1.0:  # much more than six steps take
            time.sleep(0.01)
        guard.process.kill()

    threading.Thread(target=kill_the_guard).start()
    with pytest.raises(GuardDied):
        guard.train(Work((job(faults.loop_in_c),), (0,), halving=False).to_json())
    deadline = time.monotonic() + 10
    while is_alive(trainers[0]) and time.monotonic() < deadline:
        os.sched_yield()
    assert not is_alive(trainers[0])


def test_a_worker_with_other_data_or_versions_is_refused() -> None:
    facts = environment(FAULTY_DATA.sha256)
    with pytest.raises(WorkerError, match=r"a worker on \S+ cannot train: torch is .*, but the driver has 1\.0"):
        start_guard(facts=facts | {"torch": "1.0"})


def no_data(folder: Path | None) -> TaskData:
    raise FileNotFoundError("the data are not here")


def test_a_worker_without_the_data_says_so() -> None:
    with pytest.raises(
        WorkerError,
        match=r"cannot train: ValueError: Task\(load=\.\.\.\) of absent raised FileNotFoundError: the data are not here",
    ):
        start_guard(replace(DIGITS_MLP, name="absent", load=no_data))


LEAVING = """
{leave}
from neuropt.tasks.digits import DIGITS_MLP as mine
"""


def leave_while_loading(folder: Path | None) -> TaskData:
    raise SystemExit("there is nothing here")


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        ("import os; os._exit(7)", "its guard ended while it loaded the task: exit code 7"),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("import a_module_that_is_not_here", "No module named 'a_module_that_is_not_here'"),
                ("import sys; sys.exit('not on this machine')", "SystemExit: not on this machine"),
                ("import os; os.abort()", "its guard ended while it loaded the task: SIGABRT"),
            )
        ),
    ],
)
def test_a_task_file_that_a_worker_cannot_import_is_said_at_once(leave: str, said: str) -> None:
    task = replace(DIGITS_MLP, source=Source("mine.py", "mine", LEAVING.format(leave=leave)))
    with pytest.raises(WorkerError, match=rf"^a worker on \S+ cannot train: [^\n]*{said}$"):
        start_guard(task)


def test_a_loader_that_exits_is_said_at_once() -> None:
    with pytest.raises(WorkerError, match=r"cannot train: SystemExit: there is nothing here$"):
        start_guard(replace(DIGITS_MLP, name="absent", load=leave_while_loading))


@pytest.mark.slow
def test_a_guard_that_is_killed_while_it_loads_may_be_asked_again() -> None:
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(GuardDied):
        start_guard(replace(DIGITS_MLP, source=Source("mine.py", "mine", LEAVING.format(leave=kill))))
