"""Exported files read back: a JSON or Python file gives its rule again. Nothing of a file is run.

    rule.json           the field "rule"
    powersign.py        the formula in the docstring of the class or function, found by `ast`

Every Python target writes the rule as it was given under `w <- w - lr * u, where`; that text is parsed as rule text. A line that is
further in than the others goes on with the one above it.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from pathlib import Path

from neuropt.exporting.json_file import from_json
from neuropt.exporting.provenance import Provenance
from search_space import Rule, RuleError, parse_rule

MAX_BYTES = 200_000
FIRST_LINE = "w <- w - lr * u, where\n\n"
_FACT = re.compile(r"^[ #]*(?P<label>name|run|seed|task):[ ]+(?P<fact>\S.*?)[ ]*$", re.ASCII | re.MULTILINE)


def from_export(path_or_text: str | Path) -> Rule:
    """Return the rule of an exported file: JSON, torch, optax, keras or python.

    Args:
        path_or_text: a path, or the text of such a file: a str with a line break, or that begins with a brace.

    Raises:
        RuleError: its rule is none.
        ValueError: a file that cannot be read, or is no such export.

    Example:
        >>> import neuropt
        >>> neuropt.from_export(neuropt.export_rule(neuropt.zoo()["lion"], "torch")) == neuropt.zoo()["lion"]
        True
    """
    if not isinstance(path_or_text, str | Path):
        raise TypeError(f"from_export(path_or_text) must be a str or a Path, but got {type(path_or_text).__name__}.")
    if isinstance(path_or_text, str) and ("\n" in path_or_text or path_or_text.lstrip().startswith("{")):
        return rule_in(path_or_text)
    path = Path(path_or_text)
    text = read_text(path)
    try:
        return rule_in(text)
    except ValueError as error:
        raise named_after(path, error) from None


def rule_in(text: str) -> Rule:
    """Return the rule in the text of an exported file.

    Raises:
        RuleError: its rule is none.
        ValueError: it is no export to JSON or Python.
    """
    return from_json(text)[0] if text.lstrip().startswith("{") else _of_python(text)


def provenance_in(text: str) -> Provenance | None:
    """Return where a rule was searched for, as the docstring of an export to Python says it; None where it says nothing of a search."""
    head = re.sub(r"\n {8,}", " ", text.partition(FIRST_LINE)[0])
    facts = {match["label"]: match["fact"] for match in _FACT.finditer(head)}
    if "task" not in facts:
        return None
    seed = facts.get("seed", "")
    return Provenance(
        name=facts.get("name"), run=facts.get("run"), seed=int(seed) if seed.isdecimal() else None, task=facts["task"]
    )


def read_text(path: Path) -> str:
    """Return the text of a file of at most 200,000 bytes.

    Raises:
        ValueError: says which file, and what is wrong with it.
    """
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "a device" if path.exists() else "not there"
            raise ValueError(f"{path} is {what}; a rule is in a file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"{path}: a file with a rule has at most {MAX_BYTES} bytes, but this one has {size}")
        return path.read_text(encoding="utf-8-sig")  # without the mark that some editors begin with
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file; a rule is plain text or an export to JSON or Python") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def named_after(path: Path, error: ValueError) -> ValueError:
    """Return an error that says which file it is about."""
    return type(error)(f"{path}: {error}") if isinstance(error, RuleError) else ValueError(f"{path}: {error}")


def _of_python(text: str) -> Rule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of foreign files, on escapes that Python does not know
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"it is no JSON and no Python that can be read ({type(error).__name__})") from None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node) or ""
            if docstring.startswith(FIRST_LINE):
                equations = textwrap.dedent(docstring.removeprefix(FIRST_LINE).partition("\n\n")[0])
                return parse_rule(re.sub(r"\n +", " ", equations))
    raise ValueError(
        f"it is no export of neuropt: no docstring of a class or function begins with {FIRST_LINE.strip()!r}"
    )
