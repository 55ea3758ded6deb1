"""`neuropt optimizers [NAME...]`: torch's optimizers, the hand-coded ones and the rules of the zoo.

Three layouts of the same facts: a line each where the output is piped, a paragraph each where it is a terminal, and all there is to say of
the names that are given.
"""

from __future__ import annotations

import difflib
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

from rich.console import Console
from rich.text import Text
from tyro.conf import Positional, arg

from neuropt.commands.printing import Row, print_json, print_rows, show

INDENT, LABEL = 4, 12
NO_BREAK = "\N{NO-BREAK SPACE}"
KINDS = {"torch": "torch's class", "class": "neuropt's class", "rule": "a rule of the zoo"}


@dataclass(frozen=True)
class Optimizers:
    """List the optimizers: torch's and hand-coded ones, and the rules of the zoo."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME...]")] = ()
    """those to describe in full; left out, all are listed"""
    json: bool = False
    """print JSON"""

    def __call__(self) -> None:
        """Print them."""
        listed = _named(listings(), self.names)
        if self.json:
            print_json([asdict(entry) for entry in listed])
        elif self.names:
            print("\n\n".join("\n".join(in_full(entry)) for entry in listed))
        elif sys.stdout.isatty():
            print_paragraphs(listed)
        else:
            print_rows([_row(entry) for entry in listed], as_json=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed of one optimizer.

    Args:
        name: for `create_optimizer` and the commands.
        kind: "torch" for a class of torch, "class" for a hand-coded one, "rule" for what is a rule of the zoo alone.
        formula: one line, w <- w - lr u left out.
        defaults: hyperparameters and their values.
        needs: those without a default.
        source: who published it.
        pointwise: whether each element's update depends on that element alone.
        rule: whether the zoo has it as a rule, to show and to export.
        place: where its class is.
    """

    name: str
    kind: str
    formula: str
    defaults: Mapping[str, object]
    needs: tuple[str, ...]
    source: str
    pointwise: bool
    rule: bool
    place: str


def listings() -> list[Listing]:
    """Return all optimizers, by name.

    >>> next(entry for entry in listings() if entry.name == "signum").formula
    'buf = ema(g, momentum); u = sign(buf)'
    """
    from neuropt.optimizers import named_optimizers  # imports torch
    from neuropt.optimizers.ranges import is_torchs
    from search_space import describe_zoo

    rules = describe_zoo()
    found = {}
    for name, row in named_optimizers().items():
        place = f"{'torch.optim' if is_torchs(row.factory) else 'neuropt.optimizers'}.{row.factory.__name__}"
        kind, defaults = "torch" if is_torchs(row.factory) else "class", dict(row.defaults)
        facts = (row.needs, row.source, row.pointwise, name in rules, place)
        found[name] = Listing(name, kind, row.formula, defaults, *facts)
    for name, entry in rules.items():
        if name not in found:
            rule, own = entry.rule, dict(entry.rule.hyperparameters)
            needs = ("decay_steps",) if rule.reads("T") else ()
            defaults = {"lr": 1e-3, **own, **dict.fromkeys(needs), "maximize": False}
            facts = (needs, entry.source, rule.pointwise, True, "neuropt.RuleOptimizer")
            found[name] = Listing(name, "rule", _equations(rule.text, own), defaults, *facts)
    return [found[name] for name in sorted(found)]


def _equations(text: str, hyperparameters: Mapping[str, float]) -> str:
    lines = [line for line in text.splitlines() if line.split(" =")[0] not in hyperparameters]
    return "; ".join(lines) if len(lines) > 1 or lines[0].startswith("u =") else f"u = {lines[0]}"


def _named(listed: list[Listing], names: tuple[str, ...]) -> list[Listing]:
    known = {entry.name: entry for entry in listed}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else "; `neuropt optimizers` lists all"
            raise ValueError(f"no optimizer is called {name!r}{hint}")
    return [known[name] for name in names] if names else listed


def brief(entry: Listing, space: str = " ") -> str:
    """Return hyperparameters in one line, `space` between name and value; `maximize`, which all have, is left out."""
    shown = {name: _value(value) for name, value in entry.defaults.items() if name != "maximize"}
    shown |= dict.fromkeys(entry.needs, f"must{space}be{space}given")
    return ", ".join(f"{name}{space}{value}" for name, value in shown.items())


def _value(value: object) -> str:
    return repr(value) if value is None or isinstance(value, bool | str) else show(value)


def _row(entry: Listing) -> Row:
    """Return the columns of a table: what JSON has, less what repeats the name."""
    row = asdict(entry) | {"defaults": brief(entry)}
    return {column: value for column, value in row.items() if column not in ("needs", "place")}


def print_paragraphs(listed: list[Listing]) -> None:
    """Print a paragraph each, wrapped to the terminal: name, formula, defaults, source and kind."""
    console = Console(highlight=False)
    for entry in listed:
        reach = "pointwise" if entry.pointwise else "reducing"
        facts = f"{entry.source}; {KINDS[entry.kind]}, {reach}"
        console.print(Text(entry.name, style="bold"))
        for text, style in ((entry.formula, ""), (brief(entry, NO_BREAK), ""), (facts, "dim")):
            for line in _wrapped(text, console.width):
                console.print(Text(line.replace(NO_BREAK, " "), style=style), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    wrapper = textwrap.TextWrapper(max(width - 1, 20), break_on_hyphens=False, break_long_words=False)
    wrapper.initial_indent, wrapper.subsequent_indent = " " * INDENT, " " * (INDENT + 2)
    return wrapper.wrap(text)


def in_full(entry: Listing) -> Iterator[str]:
    """Yield all there is to say of one optimizer, line by line."""
    reach = "pointwise: each element's update depends on that element alone"
    if not entry.pointwise:
        reach = "reducing: an update reads norms over whole tensors"
    needed = "".join(f", {name}=..." for name in entry.needs)
    facts = {
        "name": entry.name,
        "class": entry.place,
        "update": f"w <- w - lr u;  {entry.formula}",
        "kind": reach,
        "source": entry.source,
        "rule": f"neuropt show {entry.name}" if entry.rule else "none in the zoo",
        "more": f"python -m pydoc {entry.place}",
        "create": f'neuropt.create_optimizer("{entry.name}", model.parameters(){needed})',
    }
    yield from (f"{label + ':':<{LABEL}}{fact}" for label, fact in facts.items())
    yield "defaults:"
    for name, value in entry.defaults.items():
        yield f"{' ' * INDENT}{name} = {'... (must be given)' if name in entry.needs else repr(value)}"
