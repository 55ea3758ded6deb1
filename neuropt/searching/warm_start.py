"""What a search begins from: rules that somebody names, and what an earlier run found out.

adam,powersign        proposed before anything else, trained, and learnt from
first:1,first:2       likewise, the best rules of runs/first
first                 every reward of runs/first is learnt from; its rules are trained here only where they are proposed again
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from controllers import Known
from neuropt.config import SearchConfig
from neuropt.finding import find_rule
from neuropt.searching.ledger import open_ledger
from neuropt.searching.run_folder import LEDGER, RUNS, run_config
from neuropt.searching.source import source_of
from search_space import Rule, SearchSpace, load_space, negate, zoo

MUST_AGREE = ("task", "steps", "reward")
"""What rewards are measured by: an earlier run's mean nothing under another of these."""


def known_strings(config: SearchConfig, space: SearchSpace) -> list[Known]:
    """Return what a search with this configuration begins from, in the order named.

    Raises:
        ValueError: a name that is no rule or run, a rule that the space cannot say, or a run whose rewards say nothing here.
    """
    known: list[Known] = []
    for name in _names(config.warm_start or ""):
        run = _run(name)
        known += [_named(name, space)] if run is None else _of_run(run, config, space)
    return known


def begun_from(config: SearchConfig) -> list[tuple[str, Path | None]]:
    """Return the names that a search begins from, each with the folder where it is that of a run."""
    return [(name, _run(name)) for name in _names(config.warm_start or "")]


def named_strings(names: str, space: SearchSpace) -> list[Known]:
    """Return the strings of named rules; commas between.

    Raises:
        ValueError: a name that is no rule, or a rule that the space cannot say.

    >>> [len(known.tokens) for known in named_strings("adam,powersign", load_space("icml2017", groups=1))]
    [5, 5]
    """
    return [_named(name, space) for name in _names(names)]


def known_to_json(known: list[Known]) -> str:
    """Return the strings as text, for the ledger."""
    return json.dumps([[k.tokens, k.reward] for k in known])


def known_from_json(text: str) -> list[Known]:
    """Read them back."""
    return [Known(tuple(tokens), reward) for tokens, reward in json.loads(text)]


def _names(text: str) -> list[str]:
    """Split at the commas that stand in no brackets: `adam,clip(g, 0.1)` names two rules."""
    names, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            names.append("")
        else:
            names[-1] += character
    return [name.strip() for name in names if name.strip()]


def _run(name: str) -> Path | None:
    """Return the folder of the run that is meant, if one is."""
    try:
        return next((folder for folder in (Path(name), RUNS / name) if (folder / LEDGER).is_file()), None)
    except OSError:  # a rule's text, too long for a path
        return None


def _named(name: str, space: SearchSpace) -> Known:
    tokens = _encode(find_rule(name).rule, space)
    if tokens is None:
        names = [known for known, rule in zoo().items() if _encode(rule, space) is not None]
        raise ValueError(
            f"warm_start: {space.name} with {space.groups} group{'s' * (space.groups > 1)} cannot say {name!r}; "
            f"of the zoo it can say {', '.join(names) or 'nothing'}"
        )
    return Known(tokens)


def _encode(rule: Rule, space: SearchSpace) -> tuple[int, ...] | None:
    """Return a string of the rule, or of the rule negated, which a search turns round."""
    return space.encode(rule) or space.encode(negate(rule))


def _of_run(run: Path, config: SearchConfig, space: SearchSpace) -> list[Known]:
    earlier = run_config(run)
    if load_space(earlier.space, earlier.groups) != space:
        raise ValueError(f"warm_start: {run} searched {earlier.space}, not this space; name its rules instead: {run}:1")
    config = source_of(config).config  # with the reward that is meant
    for field in MUST_AGREE:
        before, now = getattr(earlier, field), getattr(config, field)
        if before != now:
            raise ValueError(
                f"warm_start: {run} has {field} {before}, but here it is {now}, so its rewards say nothing here; "
                f"name its best rules instead: {run}:1"
            )
    with closing(open_ledger(run / LEDGER)) as ledger:
        return [Known(tokens, reward) for tokens, reward in ledger.earned()]
