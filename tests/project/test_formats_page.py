"""docs/formats.md says what is in the files: its tables are held against what is really written."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import neuropt
from controllers.preset import ALGORITHMS
from neuropt.exporting.json_file import FORMAT, VERSION
from neuropt.searching.ledger import create_ledger
from neuropt.searching.ledger_file import SCHEMA_VERSION
from neuropt.searching.run_folder import CONFIG, CONTROLLER, LEDGER, LOCK
from neuropt.searching.snapshots import FILE
from search_space import SearchSpace
from tests.project.pages import ROOT

PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[list[str]]]:
    """Of each row of a table, what its cells have in backquotes."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")] for line in lines]


def file(title: str) -> str:
    (found,) = re.findall(rf'^```toml title="{title}"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_tables_of_a_ledger_are_those_that_there_are(tmp_path: Path) -> None:
    described: dict[str, list[str]] = {}
    for table, column, _ in rows(section("The ledger")):
        name = table[0] if table else list(described)[-1]
        described.setdefault(name, []).extend(column)
    with closing(create_ledger(tmp_path / LEDGER)):
        pass
    with closing(sqlite3.connect(tmp_path / LEDGER)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        real = {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}
    assert {name: set(columns) for name, columns in described.items()} == {
        name: set(columns) for name, columns in real.items()
    }
    assert f"in schema {SCHEMA_VERSION} " in section("The ledger")


def test_the_files_of_a_run_are_named() -> None:
    named = {name for row in rows(section("The folder of a run")) for name in row[0]}
    assert {CONFIG, LEDGER, CONTROLLER, FILE, LOCK, "report/", "tensorboard/", "wandb/"} == named


def test_the_space_has_every_field_with_its_default(tmp_path: Path) -> None:
    content = tomllib.loads(file("mine.toml"))
    options = content.pop("options")
    known = {field.name: field.default for field in fields(SearchSpace)}
    assert content.keys() | options.keys() == known.keys()
    assert options == {name: known[name] for name in options}
    path = tmp_path / "mine.toml"
    path.write_text(file("mine.toml"), encoding="utf-8")
    assert neuropt.load_space(path).groups == content["groups"]


def test_the_algorithms_of_presets_are_named() -> None:
    (said,) = re.findall(r"algorithm = .*# (.*)", file("careful.toml"))
    assert set(re.split(r", | or ", said)) == ALGORITHMS.keys()


def test_the_fields_of_an_exported_rule_are_those_of_its_schema() -> None:
    schema = json.loads((ROOT / "neuropt" / "exporting" / "rule.schema.json").read_text(encoding="utf-8"))
    described = {row[0][0]: row[1] for row in rows(section("An exported rule"))}
    assert described.keys() == schema["properties"].keys()
    assert set(described["provenance"]) == schema["properties"]["provenance"]["properties"].keys()
    assert described["format"] == [FORMAT] == [schema["properties"]["format"]["const"]]
    assert schema["properties"]["version"]["const"] == VERSION
    assert f"| `version` | {VERSION};" in PAGE
    assert schema["required"] == ["format", "version", "rule"]
