"""Text of exported Python files: formatted by ruff, lines of at most 88, and safe whatever a rule or its origin is called.

Rule text and provenance come from outside: they reach a file as escaped ASCII inside docstrings, as numbers, and as names made of
letters, digits and underscores, never as anything else. ruff leaves docstrings as they are, so theirs are wrapped here.
"""

from __future__ import annotations

import builtins
import keyword
import re
import subprocess
import textwrap
from collections.abc import Iterable, Sequence
from string import Template

from ruff.__main__ import find_ruff_bin

from neuropt.exporting.expression_text import COMPARISONS
from neuropt.exporting.provenance import Provenance
from search_space import Rule
from search_space.printing import print_number

LINE = 88
"""What ruff takes a line to be where nobody says otherwise."""
FALLBACK_NAME = "FoundRule"
LONGEST_FACT = 2_000
_MODULES = ("np", "jax", "jnp", "optax", "keras", "ops", "torch", "uniform", "normal", "mix", "pathlib", "sys")
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

    >>> [function_name(name) for name in ("powersign-ld", "Digits1", "1", "lambda", "sys")]
    ['powersign_ld', 'digits1', 'found_rule', 'found_rule', 'found_rule']
    """
    found = "_".join(re.findall(r"[a-z0-9]+", (name or "")[:64].lower()))
    is_taken = keyword.iskeyword(found) or hasattr(builtins, found) or found in _MODULES
    return found if found.isidentifier() and not is_taken else "found_rule"


def formatted(source: str) -> str:
    """Return Python source as `ruff format` has it where no settings are.

    Raises:
        FileNotFoundError: ruff's program is not installed.

    >>> formatted("u = ( sign( g ) )")
    'u = sign(g)\\n'
    """
    try:
        ruff = find_ruff_bin()
    except FileNotFoundError:
        raise FileNotFoundError(
            "exported Python is formatted by ruff, whose program is missing: pip install ruff"
        ) from None
    command = [ruff, "format", "--isolated", "--stdin-filename", "export.py", "-"]
    return subprocess.run(command, input=source, capture_output=True, encoding="utf-8", check=True).stdout


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
    facts = [(f"{label}:", escaped(fact)) for label, fact in provenance.lines() if label != "source"]
    lines = [wrapped(f"    {label:<9} {fact}", " " * 14) for label, fact in facts]
    return "\n".join([wrapped(f'"""{name}: {origin}.').removeprefix('"""'), *([""] if facts else []), *lines])


def wrapped(text: str, indent: str = "") -> str:
    """Return a line as lines that fit, broken at blanks; `indent` is in front of all but the first.

    >>> print(wrapped("    u = " + " + ".join(["exp(abs(g))"] * 7), " " * 8))
        u = exp(abs(g)) + exp(abs(g)) + exp(abs(g)) + exp(abs(g)) + exp(abs(g)) +
            exp(abs(g)) + exp(abs(g))
    """
    return textwrap.fill(text, LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def escaped(text: str) -> str:
    """Return text as it may stand in a docstring: printable ASCII, in which nothing ends the docstring; Python reads it back."""
    shown = text if len(text) <= LONGEST_FACT else text[:LONGEST_FACT] + "..."
    return shown.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def formula(rule: Rule, spaces: int) -> str:
    """Return the equations of a rule, as it was written, for a docstring.

    What does not fit goes on four spaces further in, broken where the fewest parentheses are open, after a comma or at the
    loosest operator.

    >>> from search_space import parse_rule
    >>> print(formula(parse_rule("exp(abs(g * g + m * m)) * sign(m) * log(abs(g + w)) - tanh(g * m) * sqrt(abs(v + g))"), 4))
        u = exp(abs(g * g + m * m)) * sign(m) * log(abs(g + w))
            - tanh(g * m) * sqrt(abs(v + g))
    """
    text = rule.text if "\n" in rule.text or rule.text.startswith("u = ") else f"u = {rule.text}"
    return "\n".join(_broken(" " * spaces + escaped(line), " " * (spaces + 4)) for line in text.split("\n"))


def _broken(line: str, indent: str) -> str:
    """Return an equation as lines that fit, if each of its halves has a blank."""
    if len(line) <= LINE:
        return line

    def cost(place: int) -> tuple[int, int, int]:
        open_before = line.count("(", 0, place) - line.count(")", 0, place)
        following = line[place + 1 :].partition(" ")[0]
        loosest = (line[place - 1] == ",", following in ("+", "-"), following in ("*", "/", *COMPARISONS), True)
        return open_before, loosest.index(True), -place

    places = [place for place in range(LINE // 2, LINE + 1) if line[place] == " "]
    if not places:
        return line
    at = min(places, key=cost)
    return f"{line[:at]}\n{_broken(indent + line[at + 1 :], indent)}"


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


def rows(table: Sequence[Sequence[float]], infinity: str) -> str:
    """Return a table of numbers as nested lists; NaN and infinity as members of the module that has `infinity`."""
    return f"[{''.join(f'{row(values, infinity)},' for values in table)}]"  # the last comma puts each row on a line


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
