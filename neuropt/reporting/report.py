"""`write_report`: from the folder of a run or an evaluation to one HTML file, with the data of its figures beside it."""

from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path

from neuropt.reporting.blocks import Figure, Page
from neuropt.reporting.evaluation_data import CHILDREN, SUMMARY, read_evaluation
from neuropt.reporting.evaluation_report import evaluation_page
from neuropt.reporting.rendering import GENERATOR, render_page
from neuropt.reporting.run_data import read_run
from neuropt.reporting.search_report import search_page
from neuropt.searching.run_folder import CONFIG, LEDGER, RUNS

REPORT, FOLDER = "report.html", "report"


def write_report(folder: Path | str, out: Path | str | None = None) -> Path:
    """Write the report of a run or of an evaluation: one HTML file that needs no network, and each figure's data as CSV beside it.

    Args:
        folder: of a run, or its name under `runs/`; or of an evaluation.
        out: folder for `report.html` and `figure-*.csv`; None is `report` in that folder. An earlier report there is replaced.

    Returns:
        the HTML file.

    Raises:
        ValueError: no run and no evaluation, a damaged one, or a folder that cannot be written; in one line.
    """
    found = find_folder(folder)
    page = page_of(found)
    target = found / FOLDER if out is None else Path(out)
    file = target / REPORT
    try:
        target.mkdir(parents=True, exist_ok=True)
        _check_ours(file)
        for figure in page.figures:
            (target / figure.file).write_text(to_csv(figure), encoding="utf-8")
        file.write_text(render_page(page), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{target} cannot be written: {error.strerror or error}") from None
    return file


def find_folder(folder: Path | str) -> Path:
    """Return the folder of a run or an evaluation: a path, or the name of a run under `runs/`.

    Raises:
        ValueError: neither is one.
    """
    for found in (Path(folder), RUNS / folder):
        if _is_evaluation(found):
            return found
        if (found / LEDGER).is_file():
            _check_run(found)
            return found
    where = Path(folder)
    if (where / CHILDREN).is_file():
        raise ValueError(
            f"{where} is an evaluation without {SUMMARY}: one that is not finished, or of an older neuropt"
        )
    raise ValueError(
        f"{str(folder)!r} is no run and no evaluation: neither {where / LEDGER} nor {where / SUMMARY} exists"
    )


def _check_run(folder: Path) -> None:
    """Refuse an evaluation that is not finished, whose ledger has the name of a run's."""
    try:
        config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # who reads it says what is wrong
    if "optimizers" in config:
        raise ValueError(
            f"{folder} is an evaluation that is not finished; go on with it by neuropt evaluate --resume --out {folder}"
        )


def _is_evaluation(folder: Path) -> bool:
    return (folder / SUMMARY).is_file() and (folder / CHILDREN).is_file()


def page_of(folder: Path) -> Page:
    """Return the page of a run or an evaluation."""
    return evaluation_page(read_evaluation(folder)) if _is_evaluation(folder) else search_page(read_run(folder))


def to_csv(figure: Figure) -> str:
    """Return the data of a figure; a number that is missing is an empty cell."""
    columns = list(dict.fromkeys(name for row in figure.rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(figure.rows)
    return text.getvalue()


def _check_ours(file: Path) -> None:
    """Refuse to replace a file that is no report."""
    if file.is_file() and GENERATOR not in file.read_text(encoding="utf-8", errors="replace")[:400]:
        raise ValueError(f"{file} exists and is no report of neuropt; choose another folder by -o")
