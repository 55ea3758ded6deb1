"""Take the picture of a report that the README shows: `python benchmarks/report_picture.py runs/first/report/report.html docs/report.png`.

Needs playwright and a Chromium on the PATH, as `tests/reporting/test_browser.py` does. Light, 1,200 pixels wide, the top of the page.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH = 1200

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="report.html")
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--height", type=int, default=900, help="pixels of the page, from its top")
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": given.height}, color_scheme="light")
        page.goto(given.report.absolute().as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=180_000)
        page.screenshot(
            path=given.picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": given.height}, timeout=180_000
        )
        browser.close()
