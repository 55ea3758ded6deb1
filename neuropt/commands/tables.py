"""`neuropt table build | show | list`: complete tables of search spaces."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from neuropt.commands.command import Command
from neuropt.commands.printing import print_json, print_rows, show
from neuropt.commands.rules import one_line
from neuropt.tables.config import TableConfig

if TYPE_CHECKING:
    from neuropt.tables.table import Table

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class Build:
    """Train every distinct rule of a space once on every seed; the same command goes on with a build that was killed."""

    config: OmitArgPrefixes[TableConfig]
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """file to write, which ends in .npz; until it is there, what is trained is kept in FILE.build"""

    def __call__(self) -> None:
        """Build it."""
        from neuropt.tables.building import build_table  # imports torch, and ray if it is used
        from neuropt.tables.table_file import load_table

        try:
            path = build_table(self.config, self.out, lambda line: print(line, file=sys.stderr, flush=True))
        except KeyboardInterrupt:
            print("\ninterrupted; the same command goes on", file=sys.stderr)
            raise
        space = f"--space {self.config.space} --groups {load_table(path).space.groups}"
        print(f"wrote {path}. Next: neuropt table show {path} | neuropt search {space} --task table:{path}")


@dataclass(frozen=True)
class ShowTable:
    """Say what a table is of: space, task, counts, quantiles of the reward, and the best rules."""

    table: Annotated[Positional[str], arg(metavar="TABLE")]
    """a name of `neuropt table list`, or the file of one"""
    count: Annotated[int, arg(name="n", aliases=["-n"])] = 10
    """best rules to list, by the mean over all seeds"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print it."""
        from neuropt.tables.table_file import load_table

        if self.count < 1:
            raise ValueError(f"-n must be a whole number of at least 1, but got {self.count}")
        table = load_table(self.table)
        facts, best = described(table), best_rows(table, self.count)
        if self.json:
            print_json({**facts, "made with": dict(table.facts), "best": best})
            return
        for label, fact in facts.items():
            print(f"{label + ':':<16}{fact if isinstance(fact, str) else _listed(fact)}")
        print()
        print_rows([row | {"rule": one_line(str(row["rule"]))} for row in best], as_json=False)


@dataclass(frozen=True)
class ListTables:
    """List the tables that ship."""

    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        from neuropt.tables.table_file import load_table, table_names

        tables = [load_table(name) for name in table_names()]
        rows = [
            {
                "name": t.name,
                "space": t.space.name,
                "groups": t.space.groups,
                "task": t.task,
                "rules": len(t.rules),
                "rates": len(t.base_rates),
                "seeds": len(t.seeds),
            }
            for t in tables
        ]
        print_rows(rows, self.json)


@dataclass(frozen=True)
class TableCommand:
    """Build, show or list complete tables: every distinct rule of a small space, trained once."""

    action: OmitSubcommandPrefixes[
        Annotated[Build, subcommand("build")]
        | Annotated[ShowTable, subcommand("show")]
        | Annotated[ListTables, subcommand("list")]
    ]

    def __call__(self) -> int | None:
        """Do what is asked."""
        action: Command = self.action
        return action()


def described(table: Table) -> dict[str, Any]:
    """Return what there is to say of a table: texts, and numbers by label."""
    import numpy as np

    rewards = table.rewards.mean(axis=2).max(axis=1)  # (rules,)
    strings = table.rule_of
    rejected = {reason: int((strings == -2 - k).sum()) for k, reason in enumerate(table.reasons)}
    counts = {"all": strings.size, "allowed": int((strings != -1).sum()), "say a rule": int((strings >= 0).sum())}
    quantiles = zip(QUANTILES, np.quantile(rewards, QUANTILES).tolist(), strict=True)
    return {
        "name": table.name,
        "space": f"{table.space.name}, {table.space.groups} group{'s' * (table.space.groups > 1)}",
        "task": f"{table.task}, {table.steps} steps",
        "rules": len(table.rules),
        "strings": counts,
        "rejected": rejected,
        "children": {
            "learning rates": len(table.base_rates),
            "seeds": len(table.seeds),
            "in all": table.losses.size,
            "diverged": int(np.isinf(table.losses).sum()),
            "rules that failed": len(table.failures),
        },
        "reward": {f"{100 * q:g} %": value for q, value in quantiles},
        "made": f"{table.facts.get('created')}, neuropt {table.facts.get('neuropt')}, torch {table.facts.get('torch')}",
        "sha256": table.sha256,
    }


def best_rows(table: Table, count: int) -> list[dict[str, object]]:
    """Return the best rules by minus log of validation loss, mean over all seeds at the learning rate that is best in this."""
    import numpy as np

    quality = table.log_losses.mean(axis=2)  # (rules, rates)
    rates = quality.argmax(axis=1)
    best = np.argsort(-quality.max(axis=1), kind="stable")[:count]
    return [
        {
            "position": position,
            "rule": table.rules[rule],
            "-log loss": float(quality[rule, rates[rule]]),
            "accuracy": float(table.rewards[rule, rates[rule]].mean()),
            "learning_rate": table.learning_rates(rule)[rates[rule]],
        }
        for position, rule in enumerate(best.tolist(), 1)
    ]


def _listed(fact: Any) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{label} {_number(value)}" for label, value in fact.items())
    return _number(fact)


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else show(value)
