"""Whatever a folder holds, a report is written or one line says why not, with exit code 2."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from neuropt.reporting.report import write_report
from tests.cli.running import Ended, run_here
from tests.reporting.folders import Written
from tests.reporting.reading import parsed


def one_line(ended: Ended) -> str:
    assert (ended.code, ended.out) == (2, ""), ended
    assert ended.err.startswith("neuropt report: error: ")
    assert ended.err.count("\n") == 1
    return ended.err


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def other_database(folder: Path) -> None:
    (folder / "ledger.sqlite").unlink()
    execute(folder, "CREATE TABLE t (a)")


def execute(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no folder": lambda folder: shutil.rmtree(folder),
    "empty folder": empty,
    "ledger cut": lambda folder: (folder / "ledger.sqlite").write_bytes((folder / "ledger.sqlite").read_bytes()[:9000]),
    "ledger of noise": lambda folder: (folder / "ledger.sqlite").write_bytes(b"no database" * 900),
    "ledger empty": lambda folder: (folder / "ledger.sqlite").write_bytes(b""),
    "other database": other_database,
    "no config": lambda folder: (folder / "config.toml").unlink(),
    "config of noise": lambda folder: (folder / "config.toml").write_bytes(b"\xff\x00"),
    "reward a text": lambda folder: execute(folder, "UPDATE rewards SET reward = 'best'"),
    "metrics a list": lambda folder: execute(folder, "UPDATE updates SET metrics = '[1]'"),
    "metrics a text": lambda folder: execute(folder, """UPDATE updates SET metrics = '{"entropy": "low"}'"""),
    "tokens no list": lambda folder: execute(folder, "UPDATE proposals SET tokens = '7'"),
    "works no object": lambda folder: execute(folder, "UPDATE works SET done = '[]'"),
    "works strange": lambda folder: execute(
        folder, """UPDATE works SET done = replace(done, '"steps": ', '"steps": "x')"""
    ),
    "finalists no object": lambda folder: execute(folder, "UPDATE finalists SET row = 'null'"),
    "finalists strange": lambda folder: execute(
        folder, """UPDATE finalists SET row = replace(row, '"n": 6', '"n": "<b>"')"""
    ),
    "children strange": lambda folder: execute(folder, "UPDATE OR IGNORE children SET learning_rate = 'fast'"),
    "child rate negative": lambda folder: execute(folder, "UPDATE children SET learning_rate = -learning_rate"),
    "seconds a text": lambda folder: execute(folder, "UPDATE told SET seconds = 'long'"),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_damaged_run_is_refused_in_one_line(
    damage: str, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGE[damage](copied)
    said = one_line(run_here(capsys, "report", str(copied), "-o", str(tmp_path / "out")))
    assert str(copied) in said
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_a_hostile_ledger_is_shown_and_does_nothing(copied: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    execute(
        copied,
        f"UPDATE proposals SET rule = '{evil}' WHERE status = 'new'",
        f"UPDATE proposals SET reason = '{evil}' WHERE status = 'rejected'",
        f"""UPDATE finalists SET row = replace(row, 'small:', '{evil}:')""",
        f"UPDATE told SET device = '{evil}'",
        f"UPDATE meta SET value = '{evil}' WHERE key = 'created'",
        f"""UPDATE environments SET facts = '{{"torch": "{evil}", "{evil}": "1"}}'""",
        f"""UPDATE updates SET metrics = '{{"entropy": 1.0, "{evil}": 2.0}}'""",
        "UPDATE proposals SET tokens = '[99999999999, -5]' WHERE id % 2",
    )
    page = parsed(write_report(copied, tmp_path))
    assert evil in page.words()
    assert len(page.scripts()) == 3, "plotly, figures and the page's own"
    assert page.attributes("img", "src") == []
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def change(written: Written, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of an evaluation with another summary."""
    shutil.copytree(written.folder, folder)
    summary = json.loads(json.dumps(written.summary))
    edit(summary)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "other schema": lambda s: s.update(schema=99),
    "no rows": lambda s: s.pop("rows"),
    "rows no list": lambda s: s.update(rows=7),
    "median a text": lambda s: s["rows"][0].update(median="<b>"),
    "task unknown": lambda s: s["rows"][0].update(task="elsewhere"),
    "n too long": lambda s: s["rows"][0].update(median=10**400),
    "ranks strange": lambda s: s["ranks"].update(entries=[{"optimizer": "sgd"}]),
    "tau a text": lambda s: s["profile"].update(tau=["x"]),
    "grafting ragged": lambda s: s.update(
        grafting={"magnitudes": ["a"], "directions": ["b"], "mean_ranks": [[1, 2]], "tables": {}}
    ),
}


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_a_damaged_evaluation_is_refused_in_one_line(
    edit: str, evaluation: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = change(evaluation, tmp_path / "changed", EDITS[edit])
    assert "summary.json" in one_line(run_here(capsys, "report", str(folder)))
    assert not (folder / "report").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", b"{"),
        ("summary.json", b"[]"),
        ("summary.json", b"[" * 100_000),
        ("summary.json", b"\xff\xfe"),
        ("children.csv", b"a,b\n1,2\n"),
        ("children.csv", b"\x00\xff"),
        ("children.csv", b""),
        ("children.csv", b"task,optimizer,schedule,phase,trial,learning_rate,diverged,final\n"),
        ("curves.csv", b"task,optimizer,schedule,phase,seed,step,value\nt,o,s,report,x,1,2\n"),
        ("traces.csv", b"task,optimizer,schedule,seed,step,update_norm,cosine\nt,o,s,x,1,2,1\n"),
        ("provenance.json", b"no"),
    ],
)
def test_a_damaged_file_of_an_evaluation_is_named(
    file: str, content: bytes, evaluation: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(evaluation.folder, folder)
    (folder / file).write_bytes(content)
    assert file in one_line(run_here(capsys, "report", str(folder)))


def test_a_hostile_evaluation_is_shown_and_does_nothing(evaluation: Written, tmp_path: Path) -> None:
    evil = "</script><svg onload=alert(1)>"

    def edit(summary: dict[str, Any]) -> None:
        text = json.dumps(summary).replace("lion", "LION")
        summary.update(json.loads(text.replace("LION", evil)))
        summary["claims"] = [evil]

    folder = change(evaluation, tmp_path / "evil", edit)
    for name in ("children.csv", "curves.csv", "traces.csv"):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace("lion", evil), encoding="utf-8")
    page = parsed(write_report(folder))
    assert page.words().count(evil) > 5
    assert not [tag for tag, _ in page.tags if tag == "svg"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere",), "'nowhere' is no run and no evaluation"),
        (("nowhere", "--watch"), "'nowhere' is no run and no evaluation"),
        (("nowhere", "--watch", "-o", "x"), "--watch writes no file"),
        (("nowhere", "--port", "8000"), "it needs --watch"),
        (("nowhere", "--watch", "--port", "70000"), "port must be a number from 1 to 65535, but got 70000"),
        ((), "RUN|EVAL_DIR"),
    ],
)
def test_arguments_that_do_not_fit(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in one_line(run_here(capsys, "report", *arguments))


def test_an_evaluation_of_an_older_neuropt_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "children.csv").write_text("task\n", encoding="utf-8")
    assert "without summary.json" in one_line(run_here(capsys, "report", str(tmp_path)))


def test_an_evaluation_that_is_not_finished_says_how_to_go_on(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "config.toml").write_text('optimizers = ["adam"]\n', encoding="utf-8")
    said = one_line(run_here(capsys, "report", str(copied)))
    assert f"not finished; go on with it by neuropt evaluate --resume --out {copied}" in said


def test_a_folder_that_cannot_be_written_is_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "cannot be written" in one_line(run_here(capsys, "report", str(run), "-o", str(tmp_path / "file" / "x")))
