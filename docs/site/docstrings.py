'''Docstrings as the reference shows them: formulas as they are laid out, examples as code, a type for every argument.

    m = beta2 m + (1 - beta2) g            a paragraph of equations stays lines, and its stars are products
    Example: or >>> alone                  a session of Python
    beta1, beta2: in [0, 1).               one row each
    hyper: lr and others.                  the signature's **hyper
    rules: int = 2_000                     a field of a dataclass with a docstring below it is an argument
    """distinct rules to train"""

What the docstrings say is not changed; Markdown would run lines together, and the parser of Google's style knows `Examples:` alone.
'''

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

import griffe

TYPESET = "neuropt.optimizers."
"""Whose equations are mathematics alone, which docs/site/formulas.py typesets; those of others hold code too."""
EQUATION = re.compile(r"[A-Za-z][\w' ,()^|*/.{}-]{0,40}(=|<-) ")
SECTION = re.compile(r"(?P<title>[A-Z][a-z]+):\n(?=    )")
NAMES = re.compile(r"    (\w+(?:, \w+)+): ")
LABELLED = re.compile(r"(Source|Sources|Defaults): ")


class Docstrings(griffe.Extension):
    """Rewrites every docstring once it is read."""

    def on_object(self, *, obj: griffe.Object, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            text = with_fields(obj.docstring.value, fields_of(obj))
            obj.docstring.value = rewritten(text, parameters_of(obj), typeset=obj.path.startswith(TYPESET))


def parameters_of(obj: griffe.Object) -> list[str]:
    """Return the names in a signature, with their stars."""
    function = obj.members.get("__init__") if isinstance(obj, griffe.Class) else obj
    if not isinstance(function, griffe.Function):
        return []
    return [
        {"variadic positional": "*", "variadic keyword": "**"}.get(str(p.kind and p.kind.value), "") + p.name
        for p in function.parameters
    ]


def fields_of(obj: griffe.Object) -> dict[str, str]:
    """Return the fields of a dataclass that have a docstring."""
    if not isinstance(obj, griffe.Class) or not any("dataclass" in str(one.value) for one in obj.decorators):
        return {}
    attributes = {name: one for name, one in obj.members.items() if isinstance(one, griffe.Attribute)}
    return {
        name: one.docstring.value for name, one in attributes.items() if one.docstring and "property" not in one.labels
    }


def with_fields(text: str, fields: Mapping[str, str]) -> str:
    """Return a docstring with the fields as its arguments, in front of its first section.

    >>> with_fields("A search.\\n\\n>>> 1\\n1", {"rules": "to\\ntrain"}).splitlines()
    ['A search.', '', 'Args:', '    rules: to train', '', '>>> 1', '1']
    """
    if not fields or "\nArgs:\n" in text:
        return text
    paragraphs = re.split(r"\n[ ]*\n", text)
    first = next(
        (i for i, one in enumerate(paragraphs) if SECTION.match(one) or one.startswith(">>>")), len(paragraphs)
    )
    lines = [f"    {name}: {' '.join(said.split())}" for name, said in fields.items()]
    return "\n\n".join([*paragraphs[:first], "\n".join(["Args:", *lines]), *paragraphs[first:]])


def rewritten(text: str, parameters: list[str], *, typeset: bool = False) -> str:
    """Return a docstring as Markdown with Google's sections.

    >>> print(rewritten("Decay.\\n\\nm = beta m\\nw = w - m\\n\\nArgs:\\n    a, b: numbers.\\n    more: others.", ["a", "b", "**more"]))
    Decay.
    <BLANKLINE>
    ```text
    m = beta m
    w = w - m
    ```
    <BLANKLINE>
    Args:
        a: numbers.
        b: numbers.
        **more: others.
    """
    return "\n\n".join(paragraph(one, parameters, typeset=typeset) for one in re.split(r"\n[ ]*\n", text))


def paragraph(text: str, parameters: list[str], *, typeset: bool) -> str:
    """Return one paragraph as Markdown."""
    if text.startswith(">>>"):
        return "Examples:\n" + "\n".join(f"    {line}" for line in text.splitlines())
    if section := SECTION.match(text):
        body = text[section.end() :]
        if section["title"] == "Args":
            body = "\n".join(line for row in body.splitlines() for line in rows(row, parameters))
        return f"{'Examples' if section['title'] == 'Example' else section['title']}:\n{body}"
    if EQUATION.match(text) and not text.endswith("."):
        return f'<pre class="equations">{html.escape(text)}</pre>' if typeset else f"```text\n{text}\n```"
    return LABELLED.sub(r"**\1:** ", text, count=1) if LABELLED.match(text) else text


def rows(line: str, parameters: list[str]) -> list[str]:
    """Return a line of `Args:`, one for each name in front of its colon, under the signature's names."""
    match = NAMES.match(line) or re.match(r"    (\w+): ", line)
    if match is None:
        return [line]
    starred = {name.lstrip("*"): name for name in parameters}
    return [f"    {starred.get(name, name)}: {line[match.end() :]}" for name in match[1].split(", ")]
