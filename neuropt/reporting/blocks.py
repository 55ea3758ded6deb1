"""What a page of a report is made of: sections of figures, tables, facts and formulas, as plain values without a look.

A figure says in a sentence what it shows and holds the rows it was drawn from; how it looks, in light and dark, is for `page/page.js`.
In traces a text such as "@1" or "@ink/0.2" names a colour of the page, the second one with its opacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

Trace = dict[str, Any]
"""A trace of plotly, as JSON."""
Layout = dict[str, Any]
"""A layout of plotly, as JSON."""
Line = dict[str, Any]
"""A line of a figure's data: column -> text or number."""


@dataclass(frozen=True)
class View:
    """One drawing of a figure.

    Args:
        choice: what has to be picked to see it, one word for each picker of the figure.
        traces, layout: for plotly.
    """

    traces: Sequence[Trace]
    layout: Layout
    choice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A figure of one or several views.

    Args:
        name: in lower case; its data are `figure-NAME.csv`.
        title: short.
        sentence: what it shows, with n.
        views: the first is shown at first.
        rows: all the data of all views.
        pickers: what one picks to choose a view.
        height: in pixels.
    """

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    sentence: str
    views: Sequence[View]
    rows: Sequence[Line]
    pickers: tuple[str, ...] = ()
    height: int = 400

    @property
    def file(self) -> str:
        """The name of the file with its data."""
        return f"figure-{self.name}.csv"

    def choices(self) -> list[tuple[str, list[str]]]:
        """Return what can be picked, in the order of the views."""
        return [(p, list(dict.fromkeys(view.choice[i] for view in self.views))) for i, p in enumerate(self.pickers)]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: heading.
        numeric: to the right, and sorted as numbers.
        meaning: of the heading, for who points at it.
    """

    title: str
    numeric: bool = True
    meaning: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: shown.
        order: what it is sorted by; None stands last, whichever way it is sorted.
        note: shown small, below.
        code: whether the note is rule text.
    """

    text: str
    order: float | str | None = None
    note: str = ""
    code: bool = False


@dataclass(frozen=True)
class Table:
    """A table that sorts by any column.

    Args:
        name: unique in the page.
        title, sentence: what it shows, with n.
        columns: headings; the first one names the row.
        rows: as many cells each.
        marked: positions of rows that stand out.
        filtered: the column by whose values one picks rows, or None.
    """

    kind: ClassVar[str] = "table"
    name: str
    title: str
    sentence: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    marked: frozenset[int] = frozenset()
    filtered: int | None = None

    def choices(self) -> list[str]:
        """Return what can be picked."""
        return [] if self.filtered is None else list(dict.fromkeys(row[self.filtered].text for row in self.rows))


@dataclass(frozen=True)
class Fact:
    """A labelled value."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """Labelled values under each other."""

    kind: ClassVar[str] = "facts"
    title: str
    facts: Sequence[Fact]


@dataclass(frozen=True)
class Formula:
    """A rule as a formula.

    Args:
        heading: such as its place.
        text: of the rule.
        mathml: the formula, or None where the text is no rule.
        facts: beside it.
    """

    heading: str
    text: str
    mathml: str | None
    facts: Sequence[Fact] = ()


@dataclass(frozen=True)
class Formulas:
    """Rules under each other, the first few open."""

    kind: ClassVar[str] = "formulas"
    formulas: Sequence[Formula]


@dataclass(frozen=True)
class Text:
    """Paragraphs or, as a list, points."""

    kind: ClassVar[str] = "text"
    sentences: Sequence[str]
    points: bool = False


@dataclass(frozen=True)
class Command:
    """A command line to copy, and what it does."""

    kind: ClassVar[str] = "command"
    text: str
    sentence: str


Block = Figure | Table | Facts | Formulas | Text | Command


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        name: anchor.
        title: heading.
        blocks: in their order; a section without blocks is left out.
    """

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A report.

    Args:
        kind: "Search report" or "Evaluation report".
        title: of what.
        subtitle: in a line.
        summary: in plain words.
        highlights: a few numbers.
        sections: in their order.
    """

    kind: str
    title: str
    subtitle: str
    summary: Sequence[str]
    highlights: Sequence[Fact]
    sections: Sequence[Section] = field(default_factory=tuple)

    @property
    def figures(self) -> list[Figure]:
        """All figures, in their order."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figure)]
