"""An archive of tuned optimizers stands for their training, and only where that would come out the same."""

from __future__ import annotations

import json
import runpy
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from neuropt.evaluating.baselines import BaselineError, write_baselines
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.ledger import EvaluationLedger
from neuropt.optimizers.catalogue import named_optimizers
from neuropt.searching.ledger_file import LedgerError
from neuropt.tasks.registry import SHIPPED
from tests.cli.running import ROOT
from tests.evaluating.folders import SMALL, works


@pytest.fixture
def archive(whole: tuple[Path, Evaluation], tmp_path: Path) -> Path:
    """The archive of a finished evaluation."""
    found = whole[1]
    write_baselines(tmp_path / "archive", [found])
    return tmp_path / "archive"


def test_an_archived_optimizer_is_the_one_that_was_trained(archive: Path, whole: tuple[Path, Evaluation]) -> None:
    found = evaluate(["g * sign(m)"], baselines=archive)
    assert {row.optimizer for row in found.rows} == {"g * sign(m)", "adam", "adabound", "rmsprop"}
    assert {row for row in found.rows if row.optimizer != "g * sign(m)"} == set(whole[1].rows)
    before = {row["optimizer"]: row for row in whole[1].summary["rows"]}
    for row in found.summary["rows"]:
        if row["optimizer"] in before:
            then = before[row["optimizer"]]
            assert (row["median"], row["test_median"], row["edge"]) == (
                then["median"],
                then["test_median"],
                then["edge"],
            )
            assert (row["cost"], row["default"]) == (then["cost"], then["default"])
    assert found.compare("digits-mlp", "adam", "rmsprop") == whole[1].compare("digits-mlp", "adam", "rmsprop")
    fresh = evaluate(["adam"], baselines=archive)
    assert len(fresh.rows) == 3, "one that is trained anew takes the place of the archived one"


def test_an_archive_alone_is_compared_without_training(
    archive: Path, whole: tuple[Path, Evaluation], tmp_path: Path
) -> None:
    found = evaluate(baselines=archive, out=tmp_path / "alone")
    assert found.rows == whole[1].rows
    assert found.compare("digits-mlp", "adam", "rmsprop") == whole[1].compare("digits-mlp", "adam", "rmsprop")
    assert works(tmp_path / "alone") == 0
    assert evaluate(out=tmp_path / "alone", resume=True).rows == found.rows


def test_an_archive_holds_several_evaluations_of_one_protocol(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    config: dict[str, Any] = {"tasks": ["digits-mlp"], **SMALL}
    write_baselines(tmp_path / "both", [whole[1], evaluate(["adamw(weight_decay=0.1)"], **config)])
    found = evaluate(["g * sign(m)"], baselines=tmp_path / "both")
    names = {"g * sign(m)", "adam", "adabound", "rmsprop", "adamw(weight_decay=0.1)"}
    assert {row.optimizer for row in found.rows} == names
    with pytest.raises(BaselineError, match="two evaluations hold adam; an archive has every optimizer once"):
        write_baselines(tmp_path / "twice", [whole[1], evaluate(["adam"], **config)])
    with pytest.raises(BaselineError, match="seeds is 3 in one evaluation and 4 in another"):
        write_baselines(tmp_path / "seeds", [whole[1], evaluate(["sgd"], **config | dict[str, Any](seeds=4))])


@pytest.mark.parametrize(
    ("field", "value"),
    [("data_sha256", "0" * 64), ("weights_sha256", "0" * 64), ("torch", "1.0"), ("neuropt", "0.0.1"), ("steps", "7")],
)
def test_an_archive_of_other_data_weights_or_versions_is_refused(archive: Path, field: str, value: str) -> None:
    path = archive / "digits-mlp.json"
    content = json.loads(path.read_text())
    assert field in content["key"]
    content["key"][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match=f"cannot stand for a training here: {field} was {value}, but here it is"):
        evaluate(["g * sign(m)"], baselines=archive)


def test_an_archive_of_other_seeds_is_refused(archive: Path) -> None:
    path = archive / "digits-mlp.json"
    content = json.loads(path.read_text())
    content["studies"][1]["report"][2][0] += 1  # its seed
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match="was made on other seeds; evaluate without --baselines"):
        evaluate(["g * sign(m)"], baselines=archive)


def test_an_archive_of_other_code_is_refused_although_the_version_is_the_same(archive: Path) -> None:
    path = archive / "digits-mlp.json"
    content = json.loads(path.read_text())
    content["key"]["code_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match="the code that trains children has changed: code_sha256 was 0000"):
        evaluate(["g * sign(m)"], baselines=archive)
    del content["key"]["code_sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(BaselineError, match="the code that trains children has changed: code_sha256 was None"):
        evaluate(["g * sign(m)"], baselines=archive)


def test_no_archive_is_made_of_children_of_unknown_code(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    found = whole[1]
    facts = {name: value for name, value in found.facts.items() if not name.endswith("code_sha256")}
    with pytest.raises(BaselineError, match="nobody recorded the code that digits-mlp was trained with"):
        write_baselines(tmp_path / "archive", [replace(found, facts=facts)])
    assert not (tmp_path / "archive").exists()


def test_an_evaluation_does_not_go_on_with_other_code(whole: tuple[Path, Evaluation], tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        (facts,) = connection.execute("SELECT facts FROM environments").fetchone()
        changed = json.loads(facts) | {"digits-mlp code_sha256": "0" * 64}
        connection.execute("UPDATE environments SET facts = ?", (json.dumps(changed),))
    with pytest.raises(LedgerError, match=r"digits-mlp code_sha256 was 0000.* go on with --accept-changes"):
        evaluate(out=folder, resume=True)


@pytest.mark.parametrize("code", [{}, {"digits-mlp code_sha256": "0" * 64}], ids=["not recorded", "other"])
def test_an_evaluation_of_unknown_or_other_code_is_archived_where_the_code_here_trains_alike(
    code: dict[str, str],
    whole: tuple[Path, Evaluation],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, to = tmp_path / "old", tmp_path / "archive"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        (facts,) = connection.execute("SELECT facts FROM environments").fetchone()
        old = {name: value for name, value in json.loads(facts).items() if not name.endswith("code_sha256")}
        connection.execute("UPDATE environments SET facts = ?", (json.dumps(old | code),))
    archived = run_script(monkeypatch, str(folder), "--to", str(to))
    assert archived == 2
    assert "was trained by other code, or nobody recorded which" in (said := capsys.readouterr().err)
    assert "whether the code here trains alike, give --again" in said
    assert run_script(monkeypatch, str(folder), "--to", str(to), "--again", "1") == 0
    assert "digits-mlp: 1 of 1 works trained again are the same" in capsys.readouterr().out
    assert len(evaluate(["g * sign(m)"], baselines=to).rows) == 4
    assert begun_environments(folder) == 1, "the ledger itself is only read"
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        connection.execute("INSERT INTO environments VALUES (2, 0, ?)", (facts,))
    assert run_script(monkeypatch, str(folder), "--to", str(to)) == 2
    assert "was trained in 2 environments" in capsys.readouterr().err


def test_no_archive_is_made_where_the_code_here_trains_otherwise(
    whole: tuple[Path, Evaluation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, to = tmp_path / "other", tmp_path / "archive"
    shutil.copytree(whole[0], folder)
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as connection, connection:
        rows = connection.execute("SELECT rowid, done FROM evaluation_works WHERE work LIKE '%\"jobs\"%'").fetchall()
        for row, done in rows:
            changed = json.loads(done)
            changed["trained"][0]["children"][0][0]["train_loss"] += (
                1e-12  # a last bit, as another order of sums leaves it
            )
            connection.execute("UPDATE evaluation_works SET done = ? WHERE rowid = ?", (json.dumps(changed), row))
    assert run_script(monkeypatch, str(folder), "--to", str(to), "--again", "1") == 2
    assert "the code here trains digits-mlp otherwise: 1 works differ" in capsys.readouterr().err
    assert not to.exists()


def begun_environments(folder: Path) -> int:
    with EvaluationLedger.open(folder / "ledger.sqlite") as ledger:
        return ledger.environment


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["archive_baselines.py", *arguments])
    try:
        runpy.run_path(str(ROOT / "benchmarks" / "archive_baselines.py"), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seeds": 4}, "was made with seeds 3, but here it is 4; leave seeds out"),
        ({"schedule": "linear"}, "was made with schedule"),
        ({"tasks": ["signals-mlp"]}, "has no results on signals-mlp"),
    ],
)
def test_an_archive_is_followed_or_refused(archive: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BaselineError, match=said):
        evaluate(**(dict[str, Any](optimizers=["g * m"], baselines=archive) | given))


def test_what_is_no_archive_is_said(tmp_path: Path, archive: Path) -> None:
    with pytest.raises(BaselineError, match="holds no baselines"):
        evaluate(["g * m"], baselines=tmp_path)
    (archive / "digits-mlp.json").write_text('{"key": 1}')
    with pytest.raises(BaselineError, match=r"is damaged, or no archive of results"):
        evaluate(["g * m"], baselines=archive)


def test_the_archive_of_the_project_holds_every_class_on_every_task_without_a_download() -> None:
    folder = ROOT / "benchmarks" / "baselines"
    assert {path.stem for path in folder.glob("*.json")} == {task.name for task in SHIPPED if task.download is None}
    for path in folder.glob("*.json"):
        studies = json.loads(path.read_text())["studies"]
        found = {(study["optimizer"], study["schedule"]) for study in studies}
        assert found >= {(name, schedule) for name in named_optimizers() for schedule in ("constant", "linear")}, path
