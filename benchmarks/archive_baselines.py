"""Write the archive of tuned baselines from folders of finished evaluations; nothing is trained but what `--again` asks for.

    neuropt evaluate --profile full --out full           # over an hour; --resume goes on
    python benchmarks/archive_baselines.py full          # writes benchmarks/baselines; more folders of the same protocol may follow

`neuropt evaluate RULE --baselines benchmarks/baselines` then compares a rule with them, without tuning them again. An archive is of the
code that trained it. A ledger that does not say which code that was can still be archived as one of the code here, by `--again N`: N works
of each task, drawn at random, are trained again, and all of their children must come out the same to the last bit.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from neuropt.evaluating.baselines import BaselineError, write_baselines
from neuropt.evaluating.code_hash import CODE, code_sha256
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.ledger import LEDGER, EvaluationLedger
from neuropt.tasks.registry import load_task_data
from neuropt.tasks.task import Task
from neuropt.training.work import Done, Work, do_work

FOLDER = Path(__file__).parent / "baselines"


def main() -> None:
    """Read evaluations from their ledgers, and write their archive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("evaluation", type=Path, nargs="+", help="folders of finished evaluations of one protocol")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the archive")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="works a task to train again, see above")
    arguments = parser.parse_args()
    try:
        written = write_baselines(arguments.to, [read(folder, arguments.again) for folder in arguments.evaluation])
    except BaselineError as error:
        parser.error(str(error))
    for path in written:
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")


def read(folder: Path, again: int) -> Evaluation:
    """Return a finished evaluation; as one of the code here, if works of each task that are trained again come out the same.

    Raises:
        BaselineError: it is not finished, was trained in several environments or by nobody knows which code, or comes out otherwise.
    """
    if not (folder / "summary.json").is_file():
        raise BaselineError(f"{folder} holds no finished evaluation; end it with neuropt evaluate --resume --out DIR")
    with EvaluationLedger.open(folder / LEDGER) as ledger:
        if ledger.environment > 1:
            raise BaselineError(f"{folder} was trained in {ledger.environment} environments (--accept-changes)")
        found = evaluate(out=folder, resume=True)
        known = all(f"{task.name} {CODE}" in found.facts for task in found.tasks)
        if again == 0 and not known:
            raise BaselineError(
                f"nobody recorded the code of {folder}; to see whether the code here trains alike, give --again 5"
            )
        if again == 0:
            return found
        for task in found.tasks:
            other = differing(task, ledger.works(task.name), again)
            if other:
                raise BaselineError(
                    f"the code here trains {task.name} otherwise: {len(other)} works differ, such as {other[0]:.200}"
                )
    facts = {f"{task.name} {CODE}": code_sha256(task) for task in found.tasks} | dict(found.facts)
    return replace(found, facts=facts)


def differing(task: Task, works: Mapping[str, str], count: int) -> Sequence[str]:
    """Train some works of a task again; return those that did not come out the same."""
    data = load_task_data(task)
    children = sorted(work for work in works if "jobs" in work)  # a trace is a work without jobs
    chosen = random.Random(0).sample(children, min(count, len(children)))
    other = [
        work
        for work in chosen
        if untimed(do_work(Work.from_json(work), task, data)) != untimed(Done.from_json(works[work]))
    ]
    print(f"{task.name}: {len(chosen) - len(other)} of {len(chosen)} works trained again are the same", flush=True)
    return other


def untimed(done: Done) -> str:
    """Return what came of a work, without the seconds."""
    trained = tuple(
        replace(one, children=tuple(tuple(replace(child, seconds=0.0) for child in row) for row in one.children))
        for one in done.trained
    )
    return replace(done, trained=trained, seconds=0.0).to_json()


if __name__ == "__main__":
    main()
