"""Where the time of a whole search goes: propose, identity, screen, learn, record, train, and what the executor takes beside that.

    python benchmarks/search.py                                 # the default search
    python benchmarks/search.py --space icml2017 --groups 1

Executors take turns on one search (`deterministic`, so that all of them train the same rules): `in-process`; `plain N`, N processes that
train as Ray's workers do and are fed over pipes; and `tune N`. What Tune takes beyond plain processes is Ray's share.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from multiprocessing.connection import wait
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from controllers import create_controller
from neuropt.config import SearchConfig
from neuropt.searching.ahead import Ahead
from neuropt.searching.engine import SearchEngine
from neuropt.searching.executor import Engine, Executor, InProcessExecutor, Trial
from neuropt.searching.guard_process import GuardProcess, environment
from neuropt.searching.ledger import create_ledger
from neuropt.searching.limits import GIB, usual_seconds
from neuropt.searching.progress import Progress
from neuropt.searching.proposing import Proposer
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import Task, TaskData
from neuropt.training.recording import record_trajectory
from neuropt.training.work import Done
from search_space import load_space

PARTS = ("ask", "decode", "identity", "screen", "learn", "record", "other")
"""Of the engine, which runs in the driver; `other` is what lies between."""
OUTSIDE = "outside"
"""The driver's time that is not the engine's: the executor's work in the driver, and waiting."""


class Clock:
    """Adds up seconds of the driver's main thread by part, by the wall and by its processor; a moment belongs to the innermost part."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.processor: dict[str, float] = defaultdict(float)
        self.part, self.last = OUTSIDE, (time.monotonic(), time.thread_time())

    def turn(self, part: str) -> str:
        """Begin a part, and return the one that was."""
        now, before = (time.monotonic(), time.thread_time()), self.part
        self.wall[before] += now[0] - self.last[0]
        self.processor[before] += now[1] - self.last[1]
        self.part, self.last = part, now
        return before

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        before = self.turn(part)
        try:
            yield
        finally:
            self.turn(before)

    def watch(self, part: str, owner: object, *names: str) -> None:
        """Count the time in some functions of an object or a module."""
        for name in names:
            setattr(owner, name, self._watched(part, getattr(owner, name)))

    def _watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **keywords: Any) -> Any:
            with self.during(part):
                return function(*arguments, **keywords)

        return watched


@dataclass(frozen=True, slots=True)
class Reading:
    """All clocks at one moment: seconds by part, of other processes, of this one, and what was done until then."""

    at: float
    wall: dict[str, float]
    processor: dict[str, float]
    others: dict[str, float]
    process: float
    proposals: int
    rules: int


class WatchedEngine:
    """An engine that notes when it runs, when a trial is proposed and when its result is back.

    The first trial of each worker counts as start, since guards begin in it.
    """

    def __init__(self, engine: SearchEngine, clock: Clock, workers: int) -> None:
        self.engine, self.clock, self.workers = engine, clock, workers
        self.busy: list[tuple[float, float]] = []  # when the engine ran
        self.proposed: dict[int, float] = {}
        self.spans: list[tuple[float, float, float]] = []  # of each trial: proposed, back, seconds of training
        self.seen: dict[
            int, tuple[str, float]
        ] = {}  # processor seconds of other processes, also of those that have ended
        self.readings: list[Reading] = []  # after the start, and at the end

    def next_trial(self) -> Trial | Literal["later", "finished"]:
        with self._running():
            trial = self.engine.next_trial()
        if isinstance(trial, Trial):
            self.proposed[trial.number] = time.monotonic()
        return trial

    def finish(self, number: int, done: Done) -> None:
        self.spans.append((self.proposed.pop(number), time.monotonic(), done.seconds))
        with self._running():
            self.engine.finish(number, done)
        asked_all = self.engine.rules == self.engine.config.rules
        if asked_all or len(self.spans) == self.workers:
            self.seen |= descendants()  # workers end one by one
        if (asked_all and not self.engine.under_way) or len(self.spans) == self.workers:
            self.readings.append(self._read())

    @contextmanager
    def _running(self) -> Iterator[None]:
        began = time.monotonic()
        with self.clock.during("other"):
            yield
        self.busy.append((began, time.monotonic()))

    def _read(self) -> Reading:
        self.clock.turn(OUTSIDE)
        progress = self.engine.progress
        return Reading(
            time.monotonic(),
            dict(self.clock.wall),
            dict(self.clock.processor),
            {kind: sum(taken for k, taken in self.seen.values() if k == kind) for kind in ("train", "ray")},
            time.process_time(),
            progress.proposals,
            progress.trained + progress.failed,
        )


class PlainExecutor:
    """What `TuneExecutor` would be without Ray: the same guards, fed over their pipes."""

    def __init__(self, task: Task, data: TaskData, workers: int) -> None:
        order = pickle.dumps(task), None, (usual_seconds(task, data), 4 * GIB), environment(data.sha256)
        self.guards = [GuardProcess(*order) for _ in range(workers)]

    def search(self, engine: Engine) -> None:
        ahead, free, busy = Ahead(engine), list(self.guards), dict[Any, tuple[GuardProcess, int]]()
        while True:
            while free and isinstance(trial := ahead.next_trial(), Trial):
                guard = free.pop()
                guard.connection.send_bytes(trial.work.to_json().encode())
                busy[guard.connection] = guard, trial.number
            if not busy:
                return
            ahead.prepare()
            for connection in wait(list(busy)):
                guard, number = busy.pop(connection)
                free.append(guard)
                ahead.finish(number, Done.from_json(guard.connection.recv_bytes().decode()))

    def close(self) -> None:
        for guard in self.guards:
            guard.close()


def descendants() -> dict[int, tuple[str, float]]:
    """Return the processor seconds of each process that descends from this one: `train`, guards and trainers; `ray`, all others."""
    parents, lines, taken = dict[int, int](), dict[int, bytes](), dict[int, float]()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            lines[pid] = (folder / "cmdline").read_bytes()
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
        except OSError:  # it has ended meanwhile
            continue
        parents[pid], taken[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    mine = [pid for pid in taken if os.getpid() in _ancestors(pid, parents)]
    return {pid: ("train" if b"guard_process" in lines[pid] else "ray", taken[pid]) for pid in mine}


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


@dataclass(frozen=True, slots=True)
class Measured:
    """One search.

    Args:
        start: seconds until every worker has brought its first result.
        rules_a_minute: from there to the last result; so is all that follows.
        shares: of the workers' time: `train`; `engine`, waiting for it; `executor`, the rest: messages and scheduling.
        wall: milliseconds a rule of the driver's main thread, by part.
        processor: milliseconds a rule of processors: by part, `train`, and `executor`, in the driver and in Ray's processes.
        proposals: for each rule that was trained.
        judging: milliseconds of wall time a proposal, of the whole search: ask, decode, identity, screen.
        rewards: hash of all rewards.
    """

    start: float
    rules_a_minute: float
    shares: dict[str, float]
    wall: dict[str, float]
    processor: dict[str, float]
    proposals: float
    judging: float
    rewards: str


def measure(name: str, config: SearchConfig, data: TaskData) -> Measured:
    """Run one search, in a folder that is removed."""
    task, space = get_task(config.task), load_space(config.space, config.groups)
    trajectory, clock = record_trajectory(task, data), Clock()
    began = time.monotonic()
    executor, workers = make_executor(name, task, data)
    with TemporaryDirectory() as folder, closing(create_ledger(Path(folder) / "ledger.sqlite")) as ledger:
        controller = create_controller(config.controller, space, config.seed)
        proposer = Proposer(controller, space, trajectory)
        clock.watch("ask", controller, "ask")
        clock.watch("decode", proposer, "decode")
        clock.watch("identity", proposer, "identify")
        clock.watch("screen", proposer, "screen")
        clock.watch("learn", controller, "tell")
        clock.watch("record", ledger, "write_asked", "write_told", "write_update")
        engine = WatchedEngine(
            SearchEngine(config, proposer, task, ledger, Progress(config.rules, None)), clock, workers
        )
        try:
            executor.search(engine)
        finally:
            executor.close()
        rewards = ledger.connection.execute("SELECT proposal, reward FROM rewards ORDER BY proposal").fetchall()
    return _measured(engine, began, blake2b(repr(rewards).encode(), digest_size=8).hexdigest())


def make_executor(name: str, task: Task, data: TaskData) -> tuple[Executor | PlainExecutor, int]:
    """Return an executor and how many workers it has."""
    kind, _, count = name.partition(" ")
    if kind == "in-process":
        return InProcessExecutor(task, data), 1
    if kind == "plain":
        return PlainExecutor(task, data, int(count)), int(count)
    from neuropt.searching.tune_executor import TuneExecutor

    return TuneExecutor(task, workers=int(count)), int(count)


def _measured(engine: WatchedEngine, began: float, rewards: str) -> Measured:
    first, last = engine.readings[0], engine.readings[-1]
    seconds, rules, proposals = last.at - first.at, last.rules - first.rules, last.proposals - first.proposals
    wall = {part: 1e3 * (last.wall[part] - first.wall[part]) / rules for part in (*PARTS, OUTSIDE)}
    processor = {part: 1e3 * (last.processor[part] - first.processor[part]) / rules for part in PARTS}
    rest = 1e3 * (last.process - first.process) / rules - sum(processor.values())  # of this process, all threads
    others = {kind: 1e3 * (last.others[kind] - first.others[kind]) / rules for kind in last.others}
    # without other processes, what is left of this one is training
    processor |= {"train": others["train"] or rest, "executor": others["ray"] + (rest if others["train"] else 0.0)}
    judging = 1e3 * sum(last.wall[part] for part in ("ask", "decode", "identity", "screen")) / last.proposals
    shares = _shares(engine, first.at)
    return Measured(
        first.at - began, 60 * rules / seconds, shares, wall, processor, proposals / rules, judging, rewards
    )


def _shares(engine: WatchedEngine, first: float) -> dict[str, float]:
    """Divide the workers' time between `first` and the last result of each.

    A trial takes a worker from the moment when there are both, until its result is back: `seconds` of training and a slack. The
    ends of the slack during which the engine ran are a worker or a result that waited for it; so is a worker without a trial
    while it ran. The rest is the executor's.
    """
    busy = [(max(a, first), b) for a, b in engine.busy if b > first]

    def overlap(began: float, ended: float) -> float:
        return sum(max(0.0, min(b, ended) - max(a, began)) for a, b in busy)

    free = [0.0] * engine.workers
    train = waiting = 0.0
    for proposed, back, seconds in sorted(engine.spans):
        began = max(proposed, heapq.heapreplace(free, back))
        if back <= first:
            continue
        part = (back - max(began, first)) / (back - began)  # of the trial, after `first`
        slack = max(0.0, back - began - seconds)
        waited = overlap(max(began, first), began + slack) + overlap(max(back - slack, first), back)
        train += part * seconds
        waiting += min(waited, part * slack) - overlap(max(began, first), back)
    waiting += sum(overlap(first, ended) for ended in free)
    whole = sum(ended - first for ended in free)
    shares = {"train": train / whole, "engine": waiting / whole}
    return shares | {"executor": 1.0 - sum(shares.values())}


def main() -> None:
    usual = SearchConfig()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--space", default=usual.space)
    parser.add_argument("--groups", type=int, default=usual.groups)
    parser.add_argument("--controller", default=usual.controller)
    parser.add_argument("--task", default=usual.task)
    parser.add_argument("--rules", type=int, default=usual.rules)
    parser.add_argument("--rules-per-trial", type=int, default=usual.rules_per_trial)
    parser.add_argument("--executors", nargs="+", default=["in-process", "plain 1", "tune 1", "plain 2", "tune 2"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print everything, by executor and repeat")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = SearchConfig(
        space=arguments.space,
        groups=arguments.groups,
        controller=arguments.controller,
        task=arguments.task,
        rules=arguments.rules,
        rules_per_trial=arguments.rules_per_trial,
        deterministic=True,
    )
    console = Console(width=150, stderr=arguments.json)
    data = load_task_data(get_task(config.task))
    found: dict[str, list[Measured]] = {name: [] for name in arguments.executors}
    for turn in range(arguments.repeats):
        for name in arguments.executors:
            found[name].append(measure(name, config, data))
            console.print(f"{turn + 1} {name}: {found[name][-1].rules_a_minute:,.0f} rules/min", highlight=False)
    rewards = {measured.rewards for turns in found.values() for measured in turns}
    title = f"{config.space}, {config.controller}, {config.task}, {config.rules} rules, {platform.machine()}, torch {torch.__version__}"
    console.print(f"{title}; rewards of all searches: {', '.join(sorted(rewards))}", highlight=False)
    for table in _tables(found):
        console.print(table)
    if arguments.json:
        print(json.dumps({name: [asdict(measured) for measured in turns] for name, turns in found.items()}, indent=1))


def _tables(found: dict[str, list[Measured]]) -> Iterator[Table]:
    """Medians over the turns."""
    shares, parts = ("train", "engine", "executor"), (*PARTS, "executor", "train")
    columns = ("executor", "rules/min", "start, s", *(f"{name}, %" for name in shares), "proposals/rule", "judging, ms")
    speed = _table("whole searches, and shares of the workers' time", columns)
    split = _table("milliseconds of processor time a rule", ("executor", *parts, "sum"))
    for name, turns in found.items():
        speed.add_row(
            name,
            f"{median(m.rules_a_minute for m in turns):,.0f}",
            f"{median(m.start for m in turns):.1f}",
            *(f"{100 * median(m.shares[part] for m in turns):.1f}" for part in shares),
            f"{median(m.proposals for m in turns):.2f}",
            f"{median(m.judging for m in turns):.2f}",
        )
        each = (f"{median(m.processor[part] for m in turns):.2f}" for part in parts)
        split.add_row(name, *each, f"{median(sum(m.processor.values()) for m in turns):.2f}")
    yield speed
    yield split


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


if __name__ == "__main__":
    main()
