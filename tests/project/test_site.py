"""The documents as a site: built without a warning, whole, and read without a network."""

from __future__ import annotations

import doctest
import html
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search_space import zoo
from tests.project.pages import ROOT
from tests.project.test_reference import NAMES
from tests.reporting.test_browser import CHROMIUM

FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
LINKS = {"canonical", "next", "prev"}  # name pages; browsers fetch nothing for them


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # as `make docs` does
    ended = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    assert "WARNING" not in ended.stderr
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


class Elements(HTMLParser):
    """What a page fetches, and the names of its places."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched, self.places = list[str](), set[str]()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.places.add(found.get("id") or "")
        if tag in FETCHED and found.get("rel") not in LINKS:
            self.fetched.append(found.get(FETCHED[tag]) or "")


def test_every_document_is_a_page(site: Path) -> None:
    documents = {str(path.relative_to(ROOT / "docs").with_suffix(".html")) for path in (ROOT / "docs").rglob("*.md")}
    assert documents | {"start.html", "changelog.html", "contributing.html"} <= {
        str(path.relative_to(site)) for path in pages(site)
    }


def test_every_public_name_has_its_place(site: Path) -> None:
    places = set[str]().union(*(Elements(page).places for page in (site / "reference").glob("*.html")))
    assert not set(NAMES) - places


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        fetched = Elements(page).fetched
        assert fetched
        assert not [link for link in fetched if re.match(r"(https?:)?//", link)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_docstrings_read_well(site: Path) -> None:
    text = (site / "reference" / "optimizers.html").read_text(encoding="utf-8")
    lion = text.split('id="neuropt.optimizers.Lion"')[1].split('id="neuropt.optimizers.Yogi"')[0]
    formulas = [html.unescape(re.sub(r"<[^>]+>|\s", "", one)) for one in re.findall(r"<math.*?</math>", lion)]
    assert formulas == ["w=w−lr(sign(β1m+(1−β1)g)+weight_decayw)", "m=β2m+(1−β2)g"], "a line for each equation"
    assert "&gt;&gt;&gt; optimizer = Lion(" in re.sub(r"<[^>]+>", "", lion)
    assert "<strong>Source:</strong>" in lion
    for page in (site / "reference").glob("*.html"):
        assert "<blockquote>" not in page.read_text(encoding="utf-8"), "a session outside of a code block"


def test_formulas_are_typeset_when_the_site_is_built(site: Path) -> None:
    for page in pages(site):
        text = page.read_text(encoding="utf-8")
        assert "arithmatex" not in text, f"LaTeX is left on {page}"
        assert "<merror" not in text
    for name in ("language", "metrics", "how-it-works", "evaluation"):
        source = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        text = (site / f"{name}.html").read_text(encoding="utf-8")
        assert text.count("<math ") == len(
            re.findall(r"\$\$.+?\$\$|\$[^$`\n]+\$", re.sub(r"```.*?```", "", source, flags=re.DOTALL))
        )
    known = (site / "reference" / "zoo.html").read_text(encoding="utf-8")
    for name in zoo():
        assert re.search(rf'<dt id="{name}">.*?</dt><dd><math [^>]*><mtable', known), name


def test_help_of_commands_is_there(site: Path) -> None:
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for said in ("--rules-per-trial", "--profile", "neuropt compare-controllers", "--warm-start"):
        assert said in text


def test_links_to_the_repository_lead_to_files(site: Path) -> None:
    links = {
        link
        for page in pages(site)
        for link in re.findall(r"github\.com/neuropt/neuropt/blob/main/([^\"#]+)", page.read_text(encoding="utf-8"))
    }
    assert "deploy/README.md" in links
    assert all((ROOT / link).exists() for link in links), links


@pytest.mark.parametrize("name", ["hooks", "formulas", "equations", "docstrings"])
def test_what_the_site_is_built_with_does_what_its_examples_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "site"))  # where mkdocs looks for what its hooks import
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


@pytest.fixture(scope="module")
def watched(site: Path) -> Iterator[tuple[object, list[str]]]:
    """A browser's page without a network, and what went wrong on it."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    wrong: list[str] = []
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1300, "height": 900}, offline=True).new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(site.as_uri()) else wrong.append(asked.url))
        yield page, wrong
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")
@pytest.mark.parametrize("name", ["index", "how-it-works", "language", "reference/optimizers", "reference/zoo"])
def test_a_page_is_shown_from_a_folder_without_an_error(
    site: Path, watched: tuple[object, list[str]], name: str
) -> None:
    from playwright.sync_api import Page

    page, wrong = watched
    assert isinstance(page, Page)
    page.goto((site / f"{name}.html").as_uri())
    assert page.locator("h1").first.is_visible()
    broken = "all => all.filter(img => img.naturalWidth === 0).length"
    assert page.locator("article img").evaluate_all(broken) == 0
    sizes = "all => all.map(one => one.getBoundingClientRect()).filter(box => box.width < 3 || box.height < 3).length"
    assert page.locator("math").evaluate_all(sizes) == 0
    assert wrong == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")
def test_the_search_finds_a_name_from_a_folder(site: Path, watched: tuple[object, list[str]]) -> None:
    from playwright.sync_api import Page

    page, wrong = watched
    assert isinstance(page, Page)
    page.goto((site / "index.html").as_uri())
    page.locator("input[name=query]").press_sequentially("check_optimizer")  # the theme listens to keys
    page.locator(".md-search-result__item a[href*='reference/testing.html']").first.wait_for(state="attached")
    assert wrong == []
