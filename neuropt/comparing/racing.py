"""Many searches on a table, on several processes; what each comes to depends on its controller and seed alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from controllers.preset import Settings, build_controller
from neuropt.comparing.measured import Curves, Measured, curves, measure
from neuropt.comparing.table_search import search_table
from neuropt.config import Reward
from neuropt.searching.trainer import end_with_parent
from neuropt.searching.warm_start import named_strings
from neuropt.tables.table_file import load_table
from neuropt.training.threads import one_thread


@dataclass(frozen=True, slots=True)
class Entry:
    """One search that is to be done.

    Args:
        controller: as the user named it.
        settings: what the name stands for.
        seed: of the controller; it also says which seed of the table is seen.
    """

    controller: str
    settings: Settings
    seed: int


@dataclass(frozen=True, slots=True)
class Course:
    """What all searches of a comparison share.

    Args:
        table: name or file.
        budget: distinct children.
        reward: what controllers are told.
        top_share: share of the table's rules that is looked for, the best by quality.
        warm_start: rules that every controller begins with; commas between.
    """

    table: str
    budget: int
    reward: Reward
    top_share: float
    warm_start: str | None = None


Result = tuple[Measured, Curves]


def race(course: Course, entries: Sequence[Entry], workers: int) -> Iterator[tuple[int, Result]]:
    """Do searches, and yield (position among the entries, what it came to) as they end.

    Raises:
        ValueError: a worker was ended from outside, or a controller broke, or never proposed a rule of the table.
    """
    if workers == 1:
        for position, entry in enumerate(entries):
            yield position, _search(course, entry)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), end_with_parent, (os.getpid(),))
    try:
        with _without_interrupts():  # processes start with the first submissions
            places = {pool.submit(_search, course, entry): position for position, entry in enumerate(entries)}
        for future in as_completed(places):
            yield places[future], future.result()
    except BrokenProcessPool:
        raise ValueError(
            "a process of the comparison was ended from outside; run it again, with fewer --workers?"
        ) from None
    except BaseException:  # above all Ctrl-C: what is under way would take seconds more
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that start meanwhile never hear Ctrl-C, which goes to all; the one who hears it ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _search(course: Course, entry: Entry) -> Result:
    table = load_table(course.table)
    judged = table.judge((entry.seed % len(table.seeds),), course.reward)
    top = judged.top(course.top_share)
    with one_thread():
        controller = build_controller(entry.settings, table.space, entry.seed)
        controller.begin(named_strings(course.warm_start or "", table.space))
        try:
            trace = search_table(table, judged, controller, course.budget, entry.controller, entry.seed)
        except ValueError as error:
            raise ValueError(f"{entry.controller}, seed {entry.seed}: {error}") from error
    return measure(trace, table, judged, top, course.budget), curves(trace, judged, top, course.budget)
