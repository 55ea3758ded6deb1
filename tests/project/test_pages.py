"""Every command and script of the documents is run, or says in the page why it is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project.pages import FENCE, ROOT, check_step, commands, steps
from tests.project.test_documents import CHEAP_SESSIONS, RUN_WHOLE

DOCS = ROOT / "docs"
NOT_RUN = re.compile(r"^[ ]*<!-- not run: (?P<reason>[^\n]+?) -->\n+(?=[ ]*```)", re.MULTILINE)
ANY_FENCE = re.compile(r"^[ ]*```(?:console|python)[^\n]*\n.*?^[ ]*```", re.DOTALL | re.MULTILINE)
OTHERS = [path for path in sorted(DOCS.rglob("*.md")) if path.stem not in RUN_WHOLE and path.parent.name != "tutorials"]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(RUN_WHOLE))
def test_a_page_that_is_run_from_its_first_line_to_its_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = steps(text_of(DOCS / f"{name}.md"))
    assert done
    for step in done:
        check_step(step)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(DOCS)))
def test_what_is_not_run_says_why(path: Path) -> None:
    page = text_of(path)
    for reason in NOT_RUN.finditer(page):
        assert len(reason["reason"].split()) >= 2, reason["reason"]
        assert ANY_FENCE.match(page, reason.end()), "the comment stands right above a block of commands"
    excused = {match.end() for match in NOT_RUN.finditer(page)}
    cheap = {command for name, command, _ in CHEAP_SESSIONS if name == str(path.relative_to(ROOT))}
    for block in ANY_FENCE.finditer(page):
        if block.start() in excused:
            continue
        found = FENCE.match(block[0])
        assert found, f"indented, so no test sees it: {block[0][:80]}"
        assert found[1] == "console", block[0][:80]
        for command, _ in commands(found[3]):
            assert command in cheap, f"neither run nor excused: {command}"


def test_pages_that_are_run_leave_nothing_out() -> None:
    for name in RUN_WHOLE:
        page = text_of(DOCS / f"{name}.md")
        assert not NOT_RUN.search(page)
        for block in ANY_FENCE.findall(page):
            found = FENCE.match(block)
            assert found, f"indented: {block[:80]}"
            assert found[1] == "console" or found[2], f"a script that no test runs: {block[:80]}"
