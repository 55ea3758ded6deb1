"""`neuropt report`: a run or an evaluation as one HTML file, or as a page that renews itself while a search goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Report:
    """Write the report of a run or an evaluation as one HTML file that works offline, each figure's data as CSV beside it."""

    folder: Annotated[Positional[str], arg(metavar="RUN|EVAL_DIR")]
    """folder of a run, or its name under runs/; or the folder of an evaluation"""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="DIR")] = None
    """folder for report.html and the data; left out, `report` in that folder"""
    watch: bool = False
    """serve it on this machine instead, renewed while a search goes on, until Ctrl-C"""
    port: int | None = None
    """with --watch: of the page; left out, a free one"""

    def __call__(self) -> None:
        """Write or serve it."""
        if self.watch and self.out is not None:
            raise ValueError("--watch writes no file; leave out --out, or --watch")
        if self.port is not None and not self.watch:
            raise ValueError("--port is for a page that is served: it needs --watch")
        if self.watch:
            from neuropt.reporting.serving import serve_report  # imports torch and jinja2

            serve_report(self.folder, self.port, lambda at: print(f"{self.folder}: {at} (Ctrl-C ends it)", flush=True))
        else:
            from neuropt.reporting.report import write_report

            print(f"wrote {write_report(self.folder, self.out)}")
