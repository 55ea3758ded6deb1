"""Runs that go on with other versions or data, and runs that an earlier neuropt began."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt.config import read_config
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_file import FACTS, SCHEMA_VERSION, LedgerError
from neuropt.searching.run_folder import best_rules
from neuropt.searching.search import run_search
from neuropt.searching.status import run_status
from tests.searching.searches import contents
from tests.searching.test_run_search import CONFIG

EARLIER = [Path(__file__).parents[1] / "data" / f"run_of_schema_{schema}" for schema in (1, 2)]
"""Begun by the code of commits 29c2726 and c65aba2, the last ones with schema 1 and 2, and interrupted after two of four trials."""


def rows(run: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        return connection.execute(query).fetchall()


def execute(run: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection, connection:
        connection.execute(statement, values)


def begun(run: Path, trials: int) -> Path:
    """A run that was interrupted after so many trials."""
    run_search(replace(CONFIG, finalists=0, rules=int(CONFIG.rules_per_trial) * trials), run)
    (run / "config.toml").write_text(CONFIG.to_toml(), encoding="utf-8")
    return run


def made_with_torch(run: Path, torch: str) -> None:
    ((facts,),) = rows(run, "SELECT facts FROM environments WHERE number = 1")
    execute(run, "UPDATE environments SET facts = ?", json.dumps(json.loads(str(facts)) | {"torch": torch}))


def test_every_result_names_its_environment(tmp_path: Path) -> None:
    run = run_search(CONFIG, tmp_path / "run")
    ((number, facts),) = rows(run, "SELECT number, facts FROM environments")
    assert number == 1
    assert list(json.loads(str(facts))) == [
        name for name in FACTS if name not in ("task_sha256", "controller_sha256")
    ]  # of files of one's own alone
    assert set(rows(run, "SELECT environment, device FROM told")) == {(1, "cpu")}
    assert set(rows(run, "SELECT environment FROM works")) == {(1,)}


def test_other_versions_are_refused_with_the_way_out_and_nothing_is_changed(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", 1)
    made_with_torch(run, "1.0")
    before = (run / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite: torch was 1\.0, but here it is .*--accept-changes"):
        run_search(CONFIG, run, resume=True)
    assert (run / "ledger.sqlite").read_bytes() == before


def test_accepted_changes_are_recorded_and_the_search_goes_on_exactly_where_the_controller_is_the_same(
    tmp_path: Path,
) -> None:
    run = begun(tmp_path / "changed" / "run", 1)
    made_with_torch(run, "1.0")
    run_search(CONFIG, run, resume=True, accept_changes=True)
    assert [json.loads(str(facts))["torch"] == "1.0" for (facts,) in rows(run, "SELECT facts FROM environments")] == [
        True,
        False,
    ]
    assert rows(run, "SELECT trial, environment FROM told ORDER BY trial") == [(0, 1), (1, 2)]
    whole = run_search(CONFIG, tmp_path / "whole" / "run")
    with closing(open_ledger(run / "ledger.sqlite")) as one, closing(open_ledger(whole / "ledger.sqlite")) as other:
        assert contents(one) == contents(other)
        assert one.finalists() == other.finalists()


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_controller_that_proposes_other_rules_now_begins_afresh_and_repeats_none(
    tmp_path: Path, deterministic: bool
) -> None:
    config = replace(CONFIG, rules=12, finalists=0, deterministic=deterministic, lag=2)
    run = run_search(replace(config, rules=6), tmp_path / "run")
    (run / "config.toml").write_text(replace(config, seed=1).to_toml(), encoding="utf-8")  # another controller
    with pytest.raises(LedgerError, match="weights_sha256 was"):
        run_search(config, run, resume=True)
    run_search(config, run, resume=True, accept_changes=True)
    afresh = rows(run, "SELECT event, first_proposal FROM environments WHERE first_proposal IS NOT NULL")
    ((event, first),) = afresh
    assert event == 4
    assert rows(run, "SELECT count(*) FROM proposals WHERE id >= ? AND status = 'new'".replace("?", str(first))) == [
        (6,)
    ]
    keys = [key for (key,) in rows(run, "SELECT key FROM proposals WHERE status = 'new'")]
    assert len(set(keys)) == len(keys) == 12
    (run / "config.toml").write_text(replace(config, seed=1, rules=18).to_toml(), encoding="utf-8")
    run_search(config, run, resume=True)  # from where it began afresh it is exact again, and asks for nothing
    assert rows(run, "SELECT count(*) FROM rewards") == [(18,)]
    assert rows(run, "SELECT count(*) FROM environments") == [(3,)]


def test_another_device_is_a_change(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", 1)
    elsewhere = replace(CONFIG, executor="tune", device="cuda", address="auto")  # the GPUs are not here
    with pytest.raises(LedgerError, match=r"device was cpu, but here it is cuda\. Resume .*--accept-changes"):
        run_search(elsewhere, run, resume=True, given=("device", "executor", "address"))


def test_accept_changes_is_for_resumed_runs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="accept_changes is for a run that goes on"):
        run_search(CONFIG, tmp_path / "run", accept_changes=True)


# -- earlier schemas ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=EARLIER, ids=lambda folder: folder.name)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return shutil.copytree(request.param, tmp_path / "old" / "run")


def test_a_run_of_an_earlier_schema_is_read_as_it_is(old: Path) -> None:
    before = (old / "ledger.sqlite").read_bytes()
    assert len(best_rules(old, 10)) == 4
    assert run_status(old).rungs == ()
    with closing(open_ledger(old / "ledger.sqlite")) as ledger:
        assert ledger.facts()["neuropt"] == "0.1.0"
        assert len(ledger.earned()) == 4
        assert {reward.fidelity for rewards in ledger.rewards().values() for reward in rewards} == {1.0}
    assert (old / "ledger.sqlite").read_bytes() == before


def test_a_run_of_an_earlier_schema_is_brought_to_this_one_and_goes_on_exactly(old: Path, tmp_path: Path) -> None:
    kept = rows(old, "SELECT * FROM proposals"), rows(old, "SELECT * FROM children")
    config = read_config(old / "config.toml")
    run_search(config, old, resume=True, accept_changes=True)
    assert rows(old, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(old, "SELECT environment FROM told WHERE trial < 2") == [(1,), (1,)]
    assert rows(old, "SELECT DISTINCT fidelity, control FROM rewards") == [(1.0, 0)]
    assert json.loads(str(rows(old, "SELECT facts FROM environments")[0][0]))["torch"] == "2.13.0+cpu"
    assert set(kept[0]) <= set(rows(old, "SELECT * FROM proposals"))
    assert set(kept[1]) <= set(rows(old, "SELECT * FROM children"))
    new = run_search(config, tmp_path / "new" / "run")
    assert rows(old, "SELECT tokens FROM proposals") == rows(new, "SELECT tokens FROM proposals")
    assert [name for (name,) in rows(old, "SELECT sql FROM sqlite_master")] == [
        name for (name,) in rows(new, "SELECT sql FROM sqlite_master")
    ]


def test_a_run_that_is_refused_stays_in_its_schema(old: Path) -> None:
    ((schema,),) = rows(old, "PRAGMA user_version")
    if schema == 1:
        execute(old, "UPDATE meta SET value = '1.0' WHERE key = 'torch'")
    else:
        made_with_torch(old, "1.0")
    with pytest.raises(LedgerError, match=r"torch was 1\.0"):
        run_search(read_config(old / "config.toml"), old, resume=True)
    assert rows(old, "PRAGMA user_version") == [(schema,)]
