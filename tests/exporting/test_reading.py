"""Exported files read back, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuropt import find_rule, from_export
from neuropt.exporting import Provenance, export_rule, write_export
from neuropt.exporting.reading import MAX_BYTES, provenance_in
from search_space import RuleError, parse_rule, zoo
from tests.exporting.reference import PYTHON
from tests.exporting.test_torch_file import HOSTILE, RULES


@pytest.mark.parametrize("target", [*PYTHON, "json"])
def test_every_rule_comes_back_from_every_target_that_takes_it(target: str) -> None:
    for rule in [*zoo().values(), *map(parse_rule, RULES.values())] if target == "torch" else zoo().values():
        if target == "keras" and not rule.deterministic:
            continue
        assert from_export(export_rule(rule, target, Provenance(name="found", run="first:1"))).text == rule.text


@pytest.mark.parametrize("target", [*PYTHON, "json"])
def test_a_file_is_read_and_is_a_rule_wherever_one_is_asked_for(target: str, tmp_path: Path) -> None:
    rule = zoo()["lion"]
    path = write_export(export_rule(rule, target), tmp_path / f"mine.{'json' if target == 'json' else 'py'}")
    assert from_export(path) == from_export(str(path)) == rule
    assert find_rule(str(path)).rule == rule
    assert find_rule(str(path)).name == "mine"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_facts_about_a_rule_are_not_taken_for_it(text: str) -> None:
    lie = f"{text}\n\nw <- w - lr * u, where\n\n    u = w\n\n"
    provenance = Provenance(name=text, run=lie, task=lie, summary=lie)
    assert from_export(export_rule(parse_rule("g * 2"), "torch", provenance)).text == "g * 2"


def test_a_fact_of_several_lines_is_read_whole() -> None:
    tasks = ", ".join(f"task-{number}-mlp" for number in range(20))
    source = export_rule(parse_rule("g"), "torch", Provenance(run="first:1", seed=3, task=tasks))
    assert max(map(len, source.splitlines())) <= 88
    assert provenance_in(source) == Provenance(run="first:1", seed=3, task=tasks)


def test_a_name_that_a_terminal_would_obey_is_that_of_the_file(tmp_path: Path) -> None:
    for name, called in {"\x1b[2J": "mine", "\ud800": "mine", "drop 3": "drop 3"}.items():
        path = write_export(
            export_rule(parse_rule("g"), "json", Provenance(name=name)), tmp_path / "mine.json", overwrite=True
        )
        assert find_rule(str(path)).name == called


NO_EXPORT = "no docstring of a class or function begins with"
NO_PYTHON = "no JSON and no Python that can be read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", NO_EXPORT),
        ("import os\nos.abort()\n", NO_EXPORT),
        ("def f(:\n", NO_PYTHON),
        ("\x00\n", NO_PYTHON),
        ("(" * 5_000 + "\n", NO_PYTHON),
        ("x = " + "-" * 150_000 + "1\n", "no"),
        ("x = " + "+".join(["1"] * 50_000) + "\n", "no"),
        ("{", "Expecting"),
        ('class A:\n    """w <- w - lr * u, where\n\n    u = __import__("os")\n    """\n', "__import__"),
        ('class A:\n    """w <- w - lr * u, where\n\n    """\n', "an update rule was expected"),
    ],
    ids=range(10),
)
def test_foreign_text_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_export(text)


@pytest.mark.parametrize("target", ["torch", "json"])
def test_a_file_may_begin_with_a_byte_order_mark(target: str, tmp_path: Path) -> None:
    path = tmp_path / "found"
    path.write_text(export_rule(parse_rule("g * 2"), target), encoding="utf-8-sig")
    assert from_export(path).text == "g * 2"


def test_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("#" * (MAX_BYTES + 1))
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe")
    (tmp_path / "other.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text('def f():\n    """w <- w - lr * u, where\n\n    u = nothing\n    """\n')
    for name, message in {
        "long.py": f"at most {MAX_BYTES} bytes",
        "bytes.py": "is not a text file",
        "other.py": NO_EXPORT,
        "bad.py": "'nothing' is not defined",
        "missing.json": "is not there",
        ".": "is a folder",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            from_export(tmp_path / name)
        assert str(tmp_path) in str(error.value)
    with pytest.raises(RuleError):
        from_export(tmp_path / "bad.py")
    with pytest.raises(TypeError, match=r"from_export\(path_or_text\) must be a str or a Path, but got int"):
        from_export(3)  # type: ignore[arg-type]  # on purpose


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    source = f"open({str(ran)!r}, 'w')\n" + export_rule(parse_rule("g"), "torch")
    assert from_export(source).text == "g"
    assert not ran.exists()
