"""A rule as JSON, the source of all other exports.

{"format": "neuropt-rule", "version": 1,
 "rule": "beta = 0.9\\nm = ema(g, beta)\\nu = m",       rule text: what `neuropt.parse_rule` reads
 "expanded": "... m = beta * prev(m) + (1 - beta) * g ...",   the same without shortenings, for other readers
 "hyperparameters": {"beta": 0.9},                    of the rule, for readers that do not parse it
 "provenance": {"lr": 0.001, "run": "digits:1"}}      what is known of its origin

`rule.schema.json` beside this module says the same as a JSON schema.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from neuropt.exporting.provenance import Provenance
from search_space import Rule, expand, parse_rule

FORMAT, VERSION = "neuropt-rule", 1
FIELDS = ("format", "version", "rule", "expanded", "hyperparameters", "provenance")


def export_json(rule: Rule, provenance: Provenance) -> str:
    """Return a rule and its provenance as JSON; `from_json` reads it back.

    >>> from search_space import parse_rule
    >>> from_json(export_json(parse_rule("m"), Provenance()))[0].text
    'm'
    """
    known = {name: value for name, value in asdict(provenance).items() if value not in (None, {})}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "rule": rule.text,
        "expanded": expand(rule).text,
        "hyperparameters": dict(rule.hyperparameters),
        "provenance": known,
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> tuple[Rule, Provenance]:
    """Read what `export_json` wrote.

    Raises:
        RuleError: its rule is none.
        ValueError: text that is not JSON, of another format or version, or with fields missing, unknown or of a wrong type.
    """
    try:
        document: Any = json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply to be an exported rule.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise ValueError(f'"format" must be "{FORMAT}", but got {found!r}.')
    if document.get("version") is True or document.get("version") != VERSION:  # True equals 1
        raise ValueError(f'"version" must be {VERSION}, but got {document.get("version")!r}; upgrade neuropt.')
    if unknown := sorted(document.keys() - set(FIELDS)):
        raise ValueError(f"an exported rule has {', '.join(FIELDS)}, but got {unknown[0]!r}.")
    for name in ("rule", "expanded"):
        if not isinstance(document.get(name, ""), str) or "rule" not in document:
            raise ValueError(f'"{name}" must be rule text, but got {document.get(name)!r}.')
    rule = parse_rule(document["rule"])
    found = document.get("hyperparameters", {})
    if found != dict(rule.hyperparameters) or any(isinstance(value, bool) for value in found.values()):
        raise ValueError(
            f'"hyperparameters" must be those of the rule, {dict(rule.hyperparameters)}, but got {found!r}.'
        )
    return rule, _provenance(document.get("provenance", {}))


def _provenance(found: Any) -> Provenance:
    types: dict[str, tuple[type, ...]] = {f.name: (str,) for f in fields(Provenance)}
    types |= {"lr": (int, float), "reward": (int, float), "seed": (int,), "versions": (dict,)}
    if not isinstance(found, dict):
        raise ValueError(f'"provenance" must be an object, but got {found!r}.')
    for name, value in found.items():
        if name not in types:
            raise ValueError(f'"provenance" has {", ".join(types)}, but got {name!r}.')
        if not isinstance(value, types[name]) or isinstance(value, bool):
            wanted = " or ".join(t.__name__ for t in types[name])
            raise ValueError(f'"provenance.{name}" must be {wanted}, but got {value!r}.')
    if not all(isinstance(version, str) for version in found.get("versions", {}).values()):
        raise ValueError(f'"provenance.versions" must map names to str, but got {found["versions"]!r}.')
    return Provenance(**found)
