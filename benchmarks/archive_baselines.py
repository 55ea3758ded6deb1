"""Write the archive of tuned baselines from a finished evaluation's folder; nothing is trained.

    neuropt evaluate --profile full --out full           # hours; --resume goes on
    python benchmarks/archive_baselines.py full          # writes benchmarks/baselines

`neuropt evaluate RULE --baselines benchmarks/baselines` then compares a rule with them, without tuning them again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuropt.evaluating.baselines import BaselineError, write_baselines
from neuropt.evaluating.code_hash import CODE, code_sha256
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.ledger import LEDGER, EvaluationLedger

FOLDER = Path(__file__).parent / "baselines"


def main() -> None:
    """Read the evaluation from its ledger, and write its archive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("evaluation", type=Path, help="folder of a finished evaluation")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the archive")
    parser.add_argument("--code-of", type=Path, help="checkout that it was trained with, where its ledger does not say")
    arguments = parser.parse_args()
    if not (arguments.evaluation / "summary.json").is_file():
        parser.error(
            f"{arguments.evaluation} holds no finished evaluation; end it with neuropt evaluate --resume --out DIR"
        )
    with EvaluationLedger.open(arguments.evaluation / LEDGER) as ledger:
        if ledger.environment > 1:
            parser.error(f"{arguments.evaluation} was trained in {ledger.environment} environments (--accept-changes)")
    found = evaluate(out=arguments.evaluation, resume=True)
    facts = dict(found.facts)
    try:
        if (checkout := arguments.code_of) is not None:
            facts = {f"{task.name} {CODE}": code_sha256(task, checkout) for task in found.tasks} | facts
        written = write_baselines(arguments.to, found.studies, found.config, facts, found.costs)
    except BaselineError as error:
        parser.error(f"{error}; name a checkout of that version by --code-of")
    except ValueError as error:
        parser.error(str(error))
    for path in written:
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
