from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

import neuropt
from tests.cli.running import run_here
from tests.project.pages import commands

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "runs" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN_WHOLE = {"faq", "formats", "how-it-works", "index", "language"}
"""Pages of docs/ of which `test_pages.py` runs every step."""
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.stem not in RUN_WHOLE)]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHEAP = ("check", "show", "spaces", "controllers", "tasks", "optimizers", "table")


def cheap_sessions() -> list[tuple[str, str, str]]:
    """(page, command, output) of each `$ neuropt ...` that trains nothing, needs no run, and whose output is shown."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for command, output in commands(block):
                cheap = command.split()[:1] == ["neuropt"] and command.split()[1] in CHEAP
                if cheap and output.strip() and not re.search(r"\S:\d", command):
                    found.append((str(page.relative_to(ROOT)), command, output))
    return found


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert versions[0] == neuropt.__version__


def test_the_python_example_prints_what_the_readme_says() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    expected = README[README.index(example) :].split("```text\n")[1].split("```")[0]
    assert printed.getvalue() == expected


CHEAP_SESSIONS = cheap_sessions()


@pytest.mark.parametrize(
    ("command", "output"),
    [(command, output) for _, command, output in CHEAP_SESSIONS],
    ids=[f"{page}: {command}" for page, command, _ in CHEAP_SESSIONS],
)
def test_commands_print_what_the_page_says(command: str, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, *shlex.split(command)[1:])
    assert ended.code == 0
    assert ended.out.rstrip() == output.rstrip()


def test_pages_show_listings_and_checks() -> None:
    shown = {command.split()[1] for _, command, _ in CHEAP_SESSIONS}
    assert {"spaces", "show", "optimizers", "check", "table"} <= shown


def test_the_contributing_page_names_the_files_of_each_thing_to_add() -> None:
    """Paths in `...` of any page must exist; this page must have them where it says how to add something."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for thing in ("a primitive of the language", "a controller", "a task", "an export target"):
        steps = text.split(f"**{thing}**")[1].split("\n**")[0]
        assert len(re.findall(r"`(?:search_space|controllers|neuropt)/[\w./]+`", steps)) >= 2, thing
        assert re.search(r"`tests/[\w/]+\.py`", steps), thing


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


def test_every_benchmark_is_said_how_to_run() -> None:
    listed = set(
        re.findall(r"^\| `(\w+\.py)` \|", (ROOT / "benchmarks" / "README.md").read_text("utf-8"), re.MULTILINE)
    )
    assert listed == {path.name for path in (ROOT / "benchmarks").glob("*.py")}


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
