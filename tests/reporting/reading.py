"""Read a report as a program does: its data files, its JSON, its text."""

from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


def rows_of(folder: Path, figure: str) -> list[dict[str, str]]:
    """The lines of a figure's CSV."""
    with (folder / f"figure-{figure}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Parsed(HTMLParser):
    """What a browser would see: elements, their attributes, and texts by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    def attributes(self, tag: str, name: str) -> list[str]:
        """Values of an attribute of all elements of a kind."""
        return [
            value for found, attributes in self.tags if found == tag and (value := attributes.get(name)) is not None
        ]

    def scripts(self) -> dict[str, str]:
        """Texts of script elements by id, "" for the page's own."""
        found: dict[str, str] = {}
        scripts = [attributes for tag, attributes in self.tags if tag == "script"]
        texts = [text for tag, text in self.texts if tag == "script" and text.strip()]
        for attributes, text in zip(scripts, texts, strict=True):
            found[attributes.get("id") or ""] = text
        return found

    def figures(self) -> dict[str, Any]:
        """The data of the figures."""
        figures: dict[str, Any] = json.loads(self.scripts()["figures"])
        return figures

    def words(self) -> str:
        """All text that is shown, in one line."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("script", "style")).split())


def parsed(file: Path) -> Parsed:
    """A report as a browser would see it."""
    return Parsed(file.read_text(encoding="utf-8"))
