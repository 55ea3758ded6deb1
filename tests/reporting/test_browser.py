"""Reports in a real browser, without a network: drawn without an error, sorted, picked from, dark, narrow, printed.

Needs playwright and a Chromium on the PATH (Debian: the package `chromium`); skipped where there is none. Pictures stay in build/reports/.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neuropt.reporting.report import write_report
from tests.reporting.folders import Written
from tests.reporting.test_serving import searching, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = Path(__file__).parents[2] / "build" / "reports"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
PHONE, DESK = 360, 1200
SHOWN = "p => JSON.stringify([p.data.map(t => [t.x, t.y, t.z]), p.layout.yaxis.range, p.layout.xaxis.title])"
"""What a plot shows, for a comparison."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian: apt install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["search", pytest.param("evaluation", marks=pytest.mark.slow)])
def report(
    request: pytest.FixtureRequest, run: Path, evaluation: Written, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = run if request.param == "search" else evaluation.folder
    return write_report(folder, tmp_path_factory.mktemp(request.param))


def opened(
    browser: Browser, address: str, width: int = DESK, offline: bool = True, **options: Any
) -> tuple[Page, list[str]]:
    """A page that is drawn, and what went wrong on it so far and goes wrong from now on."""
    context = browser.new_context(viewport={"width": width, "height": 900}, offline=offline, **options)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(address) else wrong.append(asked.url[:200]))
    page.goto(address)
    page.wait_for_selector("html[data-drawn]")
    return page, wrong


def picture(page: Page, report: Path, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{re.sub(r'[0-9]+$', '', report.parent.name)}-{name}.png", full_page=True)


def test_a_report_is_drawn_without_an_error_and_without_a_network(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report.as_uri())
    plots = page.locator(".plot").count()
    assert plots >= 5
    assert page.locator(".plot .plot-container .main-svg:first-child").count() == plots
    drawn = page.locator(".plot").evaluate_all(
        "all => all.map(plot => plot.querySelectorAll('.scatterlayer path, .heatmaplayer image').length)"
    )
    assert all(count > 0 for count in drawn), drawn
    boxes = page.locator(".plot").evaluate_all(
        "all => all.map(plot => plot.querySelector('.plot .bglayer, .nsewdrag').getBoundingClientRect().width)"
    )
    assert min(boxes) > 300, "a plot has room"
    picture(page, report, "light")
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_a_browser_refuses_a_script_that_is_not_ours(browser: Browser, report: Path, tmp_path: Path) -> None:
    text = report.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(
        text.replace("<header>", "<header onclick='1'><script>document.title = 'taken'</script>"), encoding="utf-8"
    )
    page, wrong = opened(browser, changed.as_uri())
    assert page.title() != "taken"
    assert any("Content Security Policy" in message for message in wrong)
    page.context.close()


@pytest.mark.slow
def test_tables_sort_by_any_column_with_mouse_and_keyboard(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report.as_uri())
    for table in page.locator("table").all():
        headings = table.locator("thead th:visible")
        for column in range(headings.count()):
            heading = headings.nth(column)
            button, position = heading.locator("button"), heading.evaluate("th => th.cellIndex")
            cells = f"rows => rows.map(row => row.cells[{position}]).map(c => [c.dataset.order ?? null, c.textContent])"
            button.click()
            assert heading.get_attribute("aria-sort") == "ascending"
            up = table.locator("tbody tr").evaluate_all(cells)
            button.focus()
            page.keyboard.press("Enter")
            assert heading.get_attribute("aria-sort") == "descending"
            down = table.locator("tbody tr").evaluate_all(cells)
            if "number" in (heading.get_attribute("class") or ""):
                values = [float(order) for order, _ in up if order is not None]
                assert values == sorted(values)
                assert [float(order) for order, _ in down if order is not None] == sorted(values, reverse=True)
                assert [order for order, _ in up[len(values) :]] == [None] * (len(up) - len(values)), "absent ones last"
            assert sorted(map(str, up)) == sorted(map(str, down)), "no row is lost"
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_what_is_picked_is_shown(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report.as_uri())
    for select in page.locator("select[data-figure]").all():
        plot = page.locator(f".plot[data-figure='{select.get_attribute('data-figure')}']")
        before = plot.evaluate(SHOWN)
        options = select.locator("option").all_text_contents()
        if len(options) > 1:
            select.select_option(options[-1])
            assert plot.evaluate(SHOWN) != before, select.get_attribute("data-figure")
    for select in page.locator("select[data-table]").all():
        rows = page.locator(f"#{select.get_attribute('data-table')} tbody tr")
        of_one = rows.locator("visible=true").count()
        select.select_option("")
        assert 0 < of_one < rows.locator("visible=true").count() == rows.count()
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_dark_is_dark_and_light_is_light(browser: Browser, report: Path) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        page, wrong = opened(browser, report.as_uri(), color_scheme=scheme)
        for _ in range(2):
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            ink = page.evaluate("getComputedStyle(document.querySelector('.plot .xtick text')).fill")
            levels = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (paper, ink)]
            assert (levels[0] < 0.2, levels[1] > 0.7) == (is_dark, is_dark), (paper, ink)
            if is_dark:
                picture(page, report, "dark")
            page.locator("#theme").click()  # auto -> light -> dark: the other one by hand
            if not is_dark:
                page.locator("#theme").click()
            is_dark = not is_dark
        assert wrong == []
        page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_in_a_heat_map_can_be_read(browser: Browser, evaluation: Written, tmp_path: Path, scheme: str) -> None:
    summary = evaluation.folder / "summary.json"
    folder = tmp_path / "shades"
    shutil.copytree(evaluation.folder, folder)
    content = json.loads(summary.read_text(encoding="utf-8"))
    for i, row in enumerate(row for row in content["rows"] if row["task"] == "digits-conv"):
        row["median"] = 0.5 + i / 10  # every shade between the ends
    (folder / "summary.json").write_text(json.dumps(content), encoding="utf-8")
    page, wrong = opened(browser, write_report(folder).as_uri(), color_scheme=scheme)
    plot = page.locator(".plot[data-figure='schedules']")
    scale, cells = plot.evaluate("p => [p.data[0].colorscale, p.data[0].z.flat()]")
    texts = plot.locator(".heatmaplayer text")
    inks = texts.evaluate_all("all => all.map(text => [text.textContent, getComputedStyle(text).fill])")
    assert len(inks) == len(cells) == 6
    for text, ink in inks:
        place = (float(text) - min(cells)) / (max(cells) - min(cells))
        assert contrast(rgb(ink), shade(scale, place)) >= 3.0, (
            text,
            ink,
        )  # the least that WCAG 2 asks of large letters and of parts of a figure
    assert wrong == []
    page.context.close()


def rgb(colour: str) -> list[float]:
    """Parts of an opaque colour, as a browser writes it or in hexadecimal."""
    if colour.startswith("#"):
        return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    assert colour.startswith("rgb("), f"{colour} is not opaque, so nobody knows how light it looks"
    return [float(part) for part in re.findall(r"\d+", colour)]


def shade(scale: list[Any], place: float) -> list[float]:
    """The colour at a place of a scale, between two of its stops."""
    for (low, one), (high, other) in pairwise(scale):
        if place <= high + 1e-9:
            share = (place - low) / (high - low)
            return [x + share * (y - x) for x, y in zip(rgb(one), rgb(other), strict=True)]
    raise AssertionError(place)


def contrast(one: list[float], other: list[float]) -> float:
    """The contrast ratio of WCAG 2, from 1 to 21."""

    def luminance(parts: list[float]) -> float:
        linear = [p / 255 / 12.92 if p / 255 <= 0.04045 else ((p / 255 + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.slow
def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report.as_uri(), PHONE, has_touch=True, is_mobile=True)
    picture(page, report, "phone")
    for details in page.locator("details").all():
        details.evaluate("d => { d.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.evaluate("visualViewport.scale") == 1, "nothing is shrunk to fit"
    sizes = page.locator(".plot .main-svg:first-child").evaluate_all(
        "all => all.map(svg => svg.getBoundingClientRect().right)"
    )
    assert sizes
    assert max(sizes) <= PHONE
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_all_of_it_is_printed_in_light(browser: Browser, report: Path, tmp_path: Path) -> None:
    page, wrong = opened(browser, report.as_uri(), color_scheme="dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    for table in page.locator("table").all():
        assert table.locator("tbody tr").count() == table.locator("tbody tr >> visible=true").count()
    assert not page.locator(".bar").is_visible()
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_everything_that_acts_is_reached_by_keyboard(browser: Browser, report: Path) -> None:
    page, wrong = opened(browser, report.as_uri())
    wanted = page.evaluate(
        "[...document.querySelectorAll('body a[href], body button, body select, body summary, body [tabindex=\"0\"]')]"
        ".filter(e => e.offsetParent !== null && !e.closest('.modebar')).length"
    )
    reached = set()
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(reached) >= wanted
    assert wrong == []
    page.context.close()


@pytest.mark.slow
def test_a_served_page_follows_a_search(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with searching(folder, 300) as search, served(folder) as (server, port):
        page, wrong = opened(browser, f"http://127.0.0.1:{port}/", offline=False)
        search.wait(240)
        page.wait_for_selector(".subtitle:has-text('finished')", timeout=60_000)
        assert "300" in page.locator(".highlights").inner_text()
        assert page.locator(".plot .main-svg").count() > 0, "drawn anew"
        assert wrong == []
        server.kill()
        page.wait_for_selector("#live:has-text('no longer connected')", timeout=60_000)
        page.context.close()
