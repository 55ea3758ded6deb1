"""Text of exported Python files, laid out as ruff lays it out, and safe whatever a rule or its origin is called.

Rule text and provenance come from outside: they reach a file as escaped ASCII inside docstrings, as numbers, and as names made of
letters, digits and underscores, never as anything else.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from string import Template

from neuropt.exporting.expression_text import LINE
from neuropt.exporting.provenance import Provenance
from search_space import Rule
from search_space.printing import print_number

FALLBACK_NAME = "FoundRule"
LONGEST_FACT = 2_000
_MODULES = ("np", "jax", "jnp", "optax", "keras", "ops", "torch", "uniform", "normal", "mix")
"""What functions of exported files are not called."""


def class_name(name: str | None) -> str:
    """Return a class name that is as near to a rule's name as Python allows.

    >>> class_name("powersign-ld"), class_name("import os"), class_name("1"), class_name(None)
    ('PowersignLd', 'ImportOs', 'FoundRule', 'FoundRule')
    """
    words = re.findall(r"[A-Za-z0-9]+", (name or "")[:64])
    found = "".join(word[0].upper() + word[1:] for word in words)
    is_taken = keyword.iskeyword(found) or hasattr(builtins, found) or found == "Optimizer"
    return found if found.isidentifier() and not is_taken else FALLBACK_NAME


def function_name(name: str | None) -> str:
    """Return the name of a function or module for a rule.

    >>> function_name("powersign-ld"), function_name("Digits1"), function_name("1"), function_name("lambda")
    ('powersign_ld', 'digits1', 'found_rule', 'found_rule')
    """
    found = "_".join(re.findall(r"[a-z0-9]+", (name or "")[:64].lower()))
    is_taken = keyword.iskeyword(found) or hasattr(builtins, found) or found in _MODULES
    return found if found.isidentifier() and not is_taken else "found_rule"


def headline(name: str, provenance: Provenance) -> str:
    """Return what a file says first: whose rule this is, and its facts.

    >>> print(headline("Lion", Provenance(source="Chen et al. 2023")))
    Lion: a known update rule (Chen et al. 2023).
    >>> print(headline("First1", Provenance(run="first:1")))
    First1: an update rule found by neuropt.
    <BLANKLINE>
        run:      first:1
    """
    origin = "an update rule found by neuropt" if provenance.run else "an update rule"
    if provenance.source:
        origin = f"a known update rule ({escaped(provenance.source)})"
    facts = [f"    {label + ':':<9} {escaped(fact)}" for label, fact in provenance.lines() if label != "source"]
    return "\n".join([f"{name}: {origin}.", *([""] if facts else []), *facts])


def escaped(text: str) -> str:
    """Return text as it may stand in a docstring: printable ASCII, in which nothing ends the docstring; Python reads it back."""
    shown = text if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def formula(rule: Rule, spaces: int) -> str:
    """Return the equations of a rule, as it was written, for a docstring."""
    text = rule.text if "\n" in rule.text or rule.text.startswith("u = ") else f"u = {rule.text}"
    return indented(map(escaped, text.split("\n")), spaces)


def fill(template: Template, **parts: str) -> str:
    """Return a template with its parts; a line that is one part alone is left out where that part is empty.

    >>> fill(Template("a = 1\\n$more\\n$last"), more="", last="b = 2")
    'a = 1\\nb = 2'
    """
    lines = template.template.split("\n")
    kept = [line for line in lines if not (line.startswith("$") and line[1:].isidentifier() and not parts[line[1:]])]
    return Template("\n".join(kept)).substitute(parts)


def quoted(names: Iterable[str]) -> str:
    """Return names as a tuple of strings."""
    found = [f'"{name}"' for name in names]
    return f"({', '.join(found)}{',' * (len(found) == 1)})"


def indented(lines: Iterable[str], spaces: int) -> str:
    """Return lines as text, each with spaces in front."""
    return "\n".join(" " * spaces + line for line in lines)


def each(names: Sequence[str], expression: str, spaces: int) -> list[str]:
    """Return `a, b = (EXPRESSION for name in (...))` in lines as ruff formats it.

    >>> each(["lr", "beta"], "number(group[name]) for name in ('lr', 'beta')", 8)
    ["lr, beta = (number(group[name]) for name in ('lr', 'beta'))"]
    """
    line = f"{', '.join(names)} = ({expression})"
    if spaces + len(line) <= LINE:
        return [line]
    inner, indent = [expression], " " * (spaces + 4)
    if len(indent) + len(expression) > LINE:
        head, _, tail = expression.partition(" for ")
        inner = [head, f"for {tail}"]
    return [f"{', '.join(names)} = (\n{indent}" + f"\n{indent}".join(inner) + f"\n{' ' * spaces})"]


def bracketed(head: str, items: list[str], tail: str) -> str:
    """Return `head items tail` as ruff formats it: on one line, else arguments on one line of their own, else one item a line."""
    line, indent = f"{head}{', '.join(items)}{tail}", " " * (len(head) - len(head.lstrip()))
    if len(line) <= LINE:
        return line
    inner = f"{indent}    {', '.join(items)}"
    if len(inner) > LINE or tail == "}" or head.endswith(" ("):  # a dict or a tuple, not a call
        inner = "\n".join(f"{indent}    {item}," for item in items)
    return f"{head}\n{inner}\n{indent}{tail}"


def rows(table: Sequence[Sequence[float]], infinity: str) -> str:
    """Return a table of numbers as nested lists, a row a line; NaN and infinity as members of the module that has `infinity`."""
    return "".join(["[\n", *(f"    {row(values, infinity)},\n" for values in table), "]"]) if table else "[]"


def row(values: Iterable[float], infinity: str) -> str:
    """Return numbers to twelve digits as a list.

    >>> row([1.0, 0.1, float("-inf")], "np.inf")
    '[1, 0.1, -np.inf]'
    """
    return f"[{', '.join(_number(float(f'{value:.12g}'), infinity) for value in values)}]"


def _number(value: float, infinity: str) -> str:
    if value != value:
        return infinity.replace("inf", "nan")
    if value in (float("inf"), float("-inf")):
        return infinity if value > 0 else f"-{infinity}"
    return print_number(value).replace("e+", "e")
