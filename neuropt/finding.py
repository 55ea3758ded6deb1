"""Find the rule that somebody means: a name of the zoo, `RUN:k`, rule text, or a file.

powersign                 the zoo's
first:1                   the best rule of runs/first
g * exp(sign(g))          rule text
mine.txt, found.json      a file with rule text, or an export to JSON or Python
"""

from __future__ import annotations

import difflib
import platform
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from search_space import Rule, RuleError, describe_zoo, parse_rule, zoo

if TYPE_CHECKING:
    from neuropt.evaluating.row import Row
    from neuropt.exporting import Provenance
    from neuropt.searching.ledger_rows import FoundRule

_OF_A_RUN = re.compile(r"(?P<run>.+):(?P<position>\d{1,9})", re.ASCII | re.DOTALL)
_LIKE_OF_A_RUN = re.compile(r"[\w./-]+:\S*", re.ASCII)
_LIKE_A_NAME = re.compile(r"[A-Za-z_]\w*([.-]\w+)*", re.ASCII)
_LIKE_A_FILE = re.compile(r"\.[A-Za-z]\w*$|[/\\]\w+$", re.ASCII)


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule and where it was found.

    Args:
        rule: itself.
        name: what to call it: of the zoo, of the file, `RUN:k`; None for rule text.
        found: its row in the ledger of a run, if it came from one.
        run: the folder of that run.
        provenance: what an export to JSON said of it, if it came from one.
    """

    rule: Rule
    name: str | None = None
    found: FoundRule | None = None
    run: Path | None = None
    provenance: Provenance | None = None


def find_rule(text: str) -> NamedRule:
    """Return the rule that `text` names, is, or is the file of; looked up in the order of the module's examples.

    Raises:
        RuleError: text that is no rule.
        ValueError: no such name, run, position or file, or a file that cannot be read; says what would be valid.

    >>> find_rule("powersign").name
    'powersign'
    >>> find_rule("g * 2").rule.text
    'g * 2'
    """
    known = zoo()
    if text in known:
        return NamedRule(known[text], text)
    if match := _OF_A_RUN.fullmatch(text):
        return _of_run(match["run"], int(match["position"]))
    try:
        return NamedRule(parse_rule(text))
    except RuleError as error:
        path = _existing(text)
        if path is not None:
            return _read(path)
        raise _explained(text, error) from None


def provenance_of(named: NamedRule) -> Provenance:
    """Return what an export says of a rule's origin."""
    from neuropt.exporting import Provenance

    if named.provenance is not None:
        return named.provenance
    if named.found is None or named.run is None:
        here = {"neuropt": version("neuropt"), "torch": version("torch"), "Python": platform.python_version()}
        known = describe_zoo().get(named.name or "")
        source = known.source if known is not None and known.rule == named.rule else None
        return Provenance(name=named.name, source=source, date=datetime.now(UTC).date().isoformat(), versions=here)
    from neuropt.searching.ledger import open_ledger  # imports torch
    from neuropt.searching.recorded import finalist_rows
    from neuropt.searching.run_folder import LEDGER, run_config

    config = run_config(named.run)
    with closing(open_ledger(named.run / LEDGER)) as ledger:
        meta, facts = ledger.meta(), ledger.facts()
        finalists = finalist_rows(ledger)
    row = next((row for row in finalists if row.optimizer == named.name), None)
    return Provenance(
        name=named.name,
        lr=(row and row.learning_rate) or named.found.learning_rate or Provenance().lr,
        run=named.name,
        seed=config.seed,
        task=config.task,
        date=meta.get("created"),
        versions={label: facts[label.lower()] for label in ("neuropt", "torch", "Python") if label.lower() in facts},
        reward=named.found.reward,
        summary=_summary(row, finalists) if row is not None else None,
    )


def _summary(row: Row, finalists: Sequence[Row]) -> str | None:
    """Say how a rule did on fresh seeds, and how the best of the tuned built-ins beside it did."""
    if row.validation is None or row.test is None:
        return None
    said = (
        f"finalist: validation {row.metric} {row.validation.median:.4f}, test {row.metric} {row.test.median:.4f}, "
        f"medians of n = {row.n} fresh seeds"
    )
    for other in finalists:  # the best first
        if other.rule is None and other.validation is not None and other.test is not None:
            said += (
                f"; the best tuned built-in, {other.optimizer}: {other.validation.median:.4f}, {other.test.median:.4f}"
            )
            break
    return said


def _of_run(name: str, position: int) -> NamedRule:
    from neuropt.searching.run_folder import best_rules, find_run  # imports torch

    run = find_run(name)
    rules = best_rules(run, max(position, 1))
    if not 1 <= position <= len(rules):
        # fewer were found than were asked for, so these are all
        count = len(rules) if position else len(best_rules(run, 1_000_000))
        raise ValueError(
            f"{name}:{position} does not exist: "
            + (f"{run} has rules 1 to {count}" if count else f"{run} has no rule yet")
        )
    found = rules[position - 1]
    return NamedRule(parse_rule(found.rule), f"{run.name}:{position}", found, run)


def _existing(text: str) -> Path | None:
    try:
        path = Path(text)
        return path if text.strip() and path.exists() else None
    except (OSError, ValueError):  # too long for a path, or a character that none has
        return None


def _read(path: Path) -> NamedRule:
    from neuropt.exporting import from_json
    from neuropt.exporting.reading import named_after, provenance_in, read_text, rule_in

    content = read_text(path)
    try:
        if content.lstrip().startswith("{"):
            rule, provenance = from_json(content)
            called = provenance.name or path.stem
            # a terminal obeys what no printer prints
            return NamedRule(rule, called if called.isprintable() else path.stem, provenance=provenance)
        if path.suffix == ".py":
            return NamedRule(rule_in(content), path.stem, provenance=provenance_in(content))
        return NamedRule(parse_rule(content), path.stem)
    except ValueError as error:
        raise named_after(path, error) from None


def _explained(text: str, error: RuleError) -> ValueError:
    """Return what to say of a text that is nothing: a name one letter off, a file or position that is none, or a faulty rule."""
    if len(text) <= 64 and _LIKE_A_NAME.fullmatch(text) and not _LIKE_A_FILE.search(text):
        near = difflib.get_close_matches(text, zoo())
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        if near or text.isidentifier():
            return ValueError(f"no rule is called {text!r}; {hint}`neuropt optimizers` lists all names")
    if len(text) <= 255 and _LIKE_OF_A_RUN.fullmatch(text):
        return ValueError(f"{text!r} is no rule: those of a run are RUN:1, the best, RUN:2 and so on")
    if len(text) <= 255 and _LIKE_A_FILE.search(text) and " " not in text:
        return ValueError(f"there is no file {text!r}, and it is no rule: {str(error).splitlines()[0]}")
    return error
