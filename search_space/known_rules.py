"""The zoo: known optimizers written as rules, from `zoo.toml`.

`zoo()["adam"]` is a rule like any other: it can be compiled, searched from, negated and exported. Three kinds are there: the
optimizers that everyone compares with (sgd, momentum, adam, ...), PowerSign and AddSign with their decays, and the sixteen rules that
the paper reports.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from search_space.rule import Rule
from search_space.text import parse_rule

FILE = Path(__file__).with_name("zoo.toml")


@dataclass(frozen=True, slots=True)
class KnownRule:
    """One entry of the zoo.

    Args:
        name: how it is called.
        rule: the update rule, with torch's hyperparameter names.
        description: one line.
        source: who published it, and the torch class that it equals.
    """

    name: str
    rule: Rule
    description: str
    source: str


@cache
def _entries() -> tuple[KnownRule, ...]:
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        KnownRule(name, parse_rule(entry["rule"].strip()), entry["description"], entry["source"])
        for name, entry in tables.items()
    )


def zoo() -> dict[str, Rule]:
    """Return the known rules by name.

    >>> print(zoo()["powersign"])
    base = 2.718281828459045
    beta = 0.9
    m = ema(g, beta)
    u = base ** (sign(g) * sign(m)) * g
    """
    return {entry.name: entry.rule for entry in _entries()}


def describe_zoo() -> dict[str, KnownRule]:
    """Return the entries of the zoo by name, with description and source.

    >>> describe_zoo()["lion"].source
    'Chen et al. 2023, Symbolic Discovery of Optimization Algorithms'
    """
    return {entry.name: entry for entry in _entries()}
