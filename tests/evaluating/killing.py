"""Evaluate, and be ended by the system at many moments: `python -m tests.evaluating.killing FOLDER`.

Each attempt is a fork of this process with a little more time than the one before; the system ends it by SIGALRM, whose default is to end
a process at once, wherever it is. Prints how each ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation

FIRST, MORE = 0.05, 1.7
"""Seconds of the first attempt, and how many times as many each next one gets."""
NAMES, TASKS = ("adam", "adabound", "graft(sgd, adam)"), ("digits-mlp", "wine-mlp")


def begun(folder: Path | None) -> Evaluation:
    """Begin the evaluation."""
    return evaluate(NAMES, TASKS, seeds=3, tune_seeds=2, steps=12, evaluations=3, out=folder)


def main(folder: Path) -> list[int]:
    """Return the signal that ended each attempt, 0 for the last."""
    ends: list[int] = []
    seconds = FIRST
    while not ends or ends[-1]:
        child = os.fork()
        if not child:
            _attempt(folder, seconds)
        ends.append(os.waitpid(child, 0)[1])
        if ends[-1] not in (0, signal.SIGALRM):
            raise SystemExit(f"an attempt ended with {ends[-1]}")
        seconds *= MORE
    return ends


def _attempt(folder: Path, seconds: float) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if (folder / "config.toml").exists():
            evaluate(out=folder, resume=True)
        else:
            begun(folder)
        os._exit(0)
    except BaseException:  # noqa: BLE001  # this is a fork of a test
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(main(Path(sys.argv[1]))))
