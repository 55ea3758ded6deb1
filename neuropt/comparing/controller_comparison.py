"""What `compare_controllers` returns: rows, and the searches behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import neuropt
from controllers.preset import Settings
from neuropt.comparing.band import Band, bands
from neuropt.comparing.comparison import ControllerRow
from neuropt.comparing.figure import Panel, figure
from neuropt.comparing.measured import Curves, Measured
from neuropt.comparing.racing import Course
from neuropt.comparing.written import CURVES, FIGURE, SEARCHES, SUMMARY, write_csv


@dataclass(frozen=True, eq=False)
class ControllerComparison:
    """Controllers compared on one table.

    Args:
        table, table_sha256, rules: name of the table, hash of its file, how many rules it has.
        course: budget, reward and share that is looked for.
        seeds: of the searches, the same for every controller.
        settings: of each controller.
        measured, curves: every search, seed by seed.
        rows: one for each controller.
    """

    table: str
    table_sha256: str
    rules: int
    course: Course
    seeds: tuple[int, ...]
    settings: Mapping[str, Settings]
    measured: tuple[Measured, ...]
    curves: tuple[Curves, ...]
    rows: tuple[ControllerRow, ...]

    def bands(self) -> list[Band]:
        """Return every curve of every controller, median and interval at each count."""
        found = []
        for row in self.rows:
            of_it = [c for c, m in zip(self.curves, self.measured, strict=True) if m.controller == row.controller]
            found += bands(row.controller, of_it)
        return found

    def to_json(self) -> str:
        """Return rows, settings and what they rest on as JSON; all numbers in it are finite."""
        content = {
            "neuropt": neuropt.__version__,
            "table": {"name": self.table, "sha256": self.table_sha256, "rules": self.rules},
            "budget": self.course.budget,
            "reward": self.course.reward,
            "top_share": self.course.top_share,
            "warm_start": self.course.warm_start,
            "seeds": list(self.seeds),
            "settings": {name: asdict(settings) for name, settings in self.settings.items()},
            "rows": [asdict(row) for row in self.rows],
        }
        return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, folder: Path) -> None:
        """Write `searches.csv`, `curves.csv`, `comparison.json` and `comparison.svg` into a folder that is there."""
        found = self.bands()
        write_csv(folder / SEARCHES, [asdict(one) for one in self.measured])
        write_csv(folder / CURVES, [line for band in found for line in band.lines()])
        (folder / SUMMARY).write_text(self.to_json(), encoding="utf-8")
        (folder / FIGURE).write_text(self.figure(found), encoding="utf-8")

    def figure(self, found: list[Band] | None = None) -> str:
        """Return best quality and the share of searches with a top rule, against children and proposals, as SVG."""
        found = self.bands() if found is None else found

        def panel(measure: str, across: str, title: str, label: str) -> Panel:
            return Panel(title, label, [b for b in found if (b.measure, b.across) == (measure, across)])

        share = f"top {100 * self.course.top_share:g} %"
        panels = [
            panel("best", "children", "best rule so far", "quality: -log loss on other seeds"),
            panel("best", "proposals", "best rule so far", "quality: -log loss on other seeds"),
            panel("found", "children", f"searches with a rule of the {share}", "share of searches"),
        ]
        seeds = len(self.seeds)
        return figure(panels, f"{self.table}: medians of {seeds} searches, bands are 95 % bootstrap intervals")
