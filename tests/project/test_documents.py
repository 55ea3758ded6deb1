from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

import neuropt
from tests.cli.running import run_here

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "runs" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHEAP = ("check", "show", "spaces", "controllers", "tasks", "optimizers", "table")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def sessions() -> list[tuple[str, str]]:
    """(command, output) of each `$ neuropt ...` in the README."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == neuropt.__version__


def test_the_python_example_prints_what_the_readme_says() -> None:
    (example,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    expected = README[README.index(example) :].split("```text\n")[1].split("```")[0]
    assert printed.getvalue() == expected


CHEAP_SESSIONS = [(c, out) for c, out in sessions() if c.split()[:1] == ["neuropt"] and c.split()[1] in CHEAP]
CHEAP_SESSIONS = [(c, out) for c, out in CHEAP_SESSIONS if not re.search(r"\S:\d", c)]  # of no run


@pytest.mark.parametrize(("command", "output"), CHEAP_SESSIONS, ids=[command for command, _ in CHEAP_SESSIONS])
def test_commands_print_what_the_readme_says(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, *shlex.split(command)[1:])
    assert ended.code == 0
    assert ended.out.rstrip() == output.rstrip()


def test_the_readme_shows_every_step() -> None:
    assert CHEAP_SESSIONS
    for said in ("make search", "make test", "neuropt export", "neuropt evaluate", "neuropt top", "--data-dir DIR"):
        assert said in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_that_documents_name_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:search_space|controllers|neuropt|tests|benchmarks|docs|examples|runs)/[\w./]*)`", text)
    for path in links:
        assert (document.parent / path).exists(), path
    for path in named:
        assert (ROOT / path).exists() or path.startswith("runs/"), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_no_place_on_a_machine(document: Path) -> None:
    assert not re.search(r"(?<![\w.])/(work|tmp|home|root|opt)/", document.read_text(encoding="utf-8"))


# -- docs/reliability.md -----------------------------------------------------------------------------------------------------------

RELIABILITY = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
FAULTS = [row for row in RELIABILITY.splitlines() if row.startswith("| ") and not row.startswith("| fault")]
MARK = re.compile(r"pytest\.mark\.slow\b")


def is_slow(file: str, name: str) -> bool:
    """Whether a test, or the whole of its file, is marked as slow; fails where there is no such test."""
    text = (ROOT / "tests" / "searching" / file).read_text(encoding="utf-8")
    found = re.search(rf"((?:^@.*\n|^[ )].*\n)*)^def {name}\(", text, re.MULTILINE)
    assert found, f"{file} has no {name}"
    return bool(MARK.search(found[1]) or re.search(r"^pytestmark = .*pytest\.mark\.slow\b", text, re.MULTILINE))


def test_every_table_of_faults_names_its_tests() -> None:
    heads = [row for row in RELIABILITY.splitlines() if row.startswith("| fault")]
    assert len(heads) == 5
    assert all(head.endswith("| test |") for head in heads)
    assert len(FAULTS) > 40


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.split("|")[1].strip())
def test_a_fault_names_tests_that_exist_and_says_whether_they_are_slow(row: str) -> None:
    cell = row.split("|")[-2].strip()
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", cell)
    assert named
    assert {is_slow(file, name) for file, name in named} == {cell.endswith(", slow")}
    assert cell.endswith((", slow", ", fast"))
