"""Write the archive of tuned baselines from a finished evaluation's folder; nothing is trained.

    neuropt evaluate --profile full --out full           # hours; --resume goes on
    python benchmarks/archive_baselines.py full          # writes benchmarks/baselines

`neuropt evaluate RULE --baselines benchmarks/baselines` then compares a rule with them, without tuning them again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from neuropt.evaluating.baselines import write_baselines
from neuropt.evaluating.evaluate import evaluate

FOLDER = Path(__file__).parent / "baselines"


def main() -> None:
    """Read the evaluation from its ledger, and write its archive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("evaluation", type=Path, help="folder of a finished evaluation")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the archive")
    arguments = parser.parse_args()
    if not (arguments.evaluation / "summary.json").is_file():
        parser.error(
            f"{arguments.evaluation} holds no finished evaluation; end it with neuropt evaluate --resume --out DIR"
        )
    found = evaluate(out=arguments.evaluation, resume=True)
    for path in write_baselines(arguments.to, found.studies, found.config, found.facts, found.costs):
        print(f"{path} {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
