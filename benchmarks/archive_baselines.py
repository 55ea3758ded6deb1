"""Write the archive of tuned baselines from folders of finished evaluations; nothing is trained but what `--again` asks for.

    neuropt evaluate --profile full --out full           # over an hour; --resume goes on
    python benchmarks/archive_baselines.py full          # writes benchmarks/baselines; more folders of the same protocol may follow

`neuropt evaluate RULE --baselines benchmarks/baselines` then compares a rule with them, without tuning them again. An archive is of the
code that trained it. A ledger of other code, or one that does not say of which, can still be archived as one of the code here, by
`--again N`: N works of each task, drawn at random, are trained again, and all of their children must come out the same to the last bit.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from neuropt.evaluating.baselines import BaselineError, write_baselines
from neuropt.evaluating.code_hash import CODE
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.ledger import LEDGER, EvaluationLedger
from neuropt.evaluating.running import evaluation_facts
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
        BaselineError: it is not finished, was trained in several environments, by other code or by nobody knows which, or comes out
            otherwise.
    """
    if not (folder / "summary.json").is_file():
        raise BaselineError(f"{folder} holds no finished evaluation; end it with neuropt evaluate --resume --out DIR")
    with EvaluationLedger.open(folder / LEDGER) as ledger, TemporaryDirectory() as copies:
        if ledger.environment > 1:
            raise BaselineError(f"{folder} was trained in {ledger.environment} environments (--accept-changes)")
        copy = Path(shutil.copytree(folder, Path(copies) / "evaluation"))  # whose ledger may record the code here
        found = evaluate(out=copy, resume=True, accept_changes=True)
        here = evaluation_facts([(task, load_task_data(task)) for task in found.tasks], found.protocol)
        other = [name for name, value in here.items() if ledger.facts().get(name) != value]
        if any(not name.endswith(CODE) for name in other):
            raise BaselineError(f"{folder} was trained elsewhere: {', '.join(other)} differ here")
        if other and again == 0:
            raise BaselineError(
                f"{folder} was trained by other code, or nobody recorded which; to see whether the code here trains alike, give --again 5"
            )
        for task in found.tasks if again else ():
            works = differing(task, ledger.works(task.name), again)
            if works:
                raise BaselineError(
                    f"the code here trains {task.name} otherwise: {len(works)} works differ, such as {works[0]:.200}"
                )
    return replace(found, facts=dict(found.facts) | here)


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
