"""Where the numbers of a search come from, and the command that repeats it."""

from __future__ import annotations

import shlex
from dataclasses import fields

from neuropt.config import SearchConfig
from neuropt.reporting.blocks import Block, Command, Fact, Facts
from neuropt.reporting.run_data import RunData

WHERE_ELSE = ("address", "data_dir", "tensorboard")
"""Fields of a configuration that a command to repeat a search leaves out: where one machine has its data and its cluster."""


def provenance(data: RunData) -> list[Block]:
    names = {"data_sha256": "data, SHA-256", "weights_sha256": "first weights, SHA-256"}
    exactly = data.config.deterministic or data.config.executor == "in-process"
    blocks: list[Block] = [
        Command(
            repeating(data.config, data.name),
            "To repeat it with the versions below: "
            + (
                "results come back rule for rule."
                if exactly
                else "with several workers the order of results decides what is proposed "
            )
            + "next, so that another run finds other rules unless it is `--deterministic`." * (not exactly),
        )
    ]
    for environment in data.environments:
        title = (
            ""
            if len(data.environments) == 1
            else f"Environment {environment.number}, from event {environment.event} on"
        )
        facts = [Fact(names.get(name, name), str(fact)) for name, fact in environment.facts.items()]
        blocks.append(Facts(title, [Fact("begun", data.created), *facts] if environment.number == 1 else facts))
    usual = SearchConfig()
    values = [(f.name, getattr(data.config, f.name)) for f in fields(SearchConfig)]
    changed = [
        Fact(name, str(value), f"default: {getattr(usual, name)}")
        for name, value in values
        if value != getattr(usual, name)
    ]
    if changed:
        blocks.append(Facts("Settings that are not the default", changed))
    return blocks


def repeating(config: SearchConfig, name: str) -> str:
    """Return the command line that starts a search like this one.

    >>> repeating(SearchConfig(rules=100, halving=False), "first")
    'neuropt search --rules 100 --no-halving --run runs/first-again'
    """
    usual, words = SearchConfig(), ["neuropt", "search"]
    for field in fields(SearchConfig):
        value = getattr(config, field.name)
        if field.name in WHERE_ELSE or value == getattr(usual, field.name):
            continue
        flag = field.name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return shlex.join([*words, "--run", f"runs/{name}-again"])
