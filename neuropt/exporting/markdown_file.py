"""A rule as Markdown: an algorithm block in the manner of torch's documents, the rule text, its hyperparameters and its origin.

Facts come from outside: each stands on one line of ASCII, as code, so that none becomes a heading, a link or HTML.
"""

from __future__ import annotations

from neuropt.exporting.algorithm import algorithm
from neuropt.exporting.layout import LONGEST_FACT, class_name
from neuropt.exporting.provenance import Provenance
from search_space import Rule
from search_space.printing import print_number


def export_markdown(rule: Rule, provenance: Provenance) -> str:
    """Return a rule as a section of a document.

    >>> from search_space import parse_rule
    >>> export_markdown(parse_rule("g"), Provenance(name="plain")).splitlines()[0]
    '# Plain'
    """
    sections = [f"# {class_name(provenance.name)}", formula(rule), hyperparameters(rule), origin(provenance)]
    return "\n\n".join(section for section in sections if section) + "\n"


def formula(rule: Rule) -> str:
    """Return the algorithm, and the rule as neuropt reads it."""
    return f"$$\n{algorithm(rule)}\n$$\n\n```text\n{rule.text}\n```"


def hyperparameters(rule: Rule) -> str:
    """Return a table of names and values, empty where a rule has none."""
    if not rule.hyperparameters:
        return ""
    rows = [f"| `{name}` | {print_number(value)} |" for name, value in rule.hyperparameters]
    return "\n".join(["| hyperparameter | value |", "| --- | --- |", *rows])


def origin(provenance: Provenance) -> str:
    """Return what is known of a rule's origin, a line a fact."""
    return "\n".join(f"- {label}: {code(fact)}" for label, fact in provenance.lines())


def code(text: str) -> str:
    """Return text from outside as inline code.

    >>> code("a `b`; <c>")
    "`a 'b'; <c>`"
    """
    shown = text if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + "..."
    return f"`{shown.encode('unicode_escape').decode('ascii').replace('`', chr(39))}`"
