"""From a page to one HTML file that holds all it needs: plotly, style and data; nothing in it reaches for a network.

What comes from a run may be anything. Texts are escaped by jinja2, data go into the page as JSON without `<`, and the page's own policy
lets a browser run two scripts only, known by their hashes: ours and plotly's.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
import re
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

import neuropt
from neuropt.reporting.blocks import Figure, Page, Section

GENERATOR = '<meta name="generator" content="neuropt'
"""By which a report is known as ours."""
_OURS = ("hovertemplate",)  # texts in which plotly's own tags are meant
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TURNING_ESCAPED = re.compile(r"\\u(?:061c|200[ef]|202[a-e]|206[6-9])")  # the same in JSON


def render_page(page: Page, live: str | None = None) -> str:
    """Return a page as HTML.

    Args:
        live: where it is served and asks its server for news, which version of the page it is; None for a file.
    """
    ours, plotly = _text("page.js"), _plotly()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {_hash(ours)} {_hash(plotly)}"
    )
    if live is not None:
        policy += "; connect-src 'self'"
    values: dict[str, object] = {"version": neuropt.__version__, "policy": policy, "live": live}
    values |= {"style": Markup(_text("page.css")), "script": Markup(ours), "plotly": Markup(_packed())}
    return _upright(_environment().get_template("page.html").render(page=page, main=render_main(page), **values))


def render_main(page: Page) -> Markup:
    """Return what changes while a search goes on: everything below the head of the page."""
    sections = [section for section in page.sections if section.blocks]
    text = _environment().get_template("main.html").render(page=page, sections=sections, data=_data(sections))
    return Markup(_upright(text))


def _upright(text: str) -> str:
    """Return text without marks that turn the direction of writing: one in a name would turn the sentence around it."""
    return _TURNING.sub("\ufffd", text)


def _data(sections: list[Section]) -> Markup:
    """Return the figures as JSON that can stand in a script element."""
    blocks = [block for section in sections for block in section.blocks if isinstance(block, Figure)]
    figures = {
        block.name: [{"choice": v.choice, "traces": plain(v.traces), "layout": plain(v.layout)} for v in block.views]
        for block in blocks
    }
    text = json.dumps(figures, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = _TURNING_ESCAPED.sub(r"\\ufffd", text)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def plain(value: Any, key: str = "") -> Any:
    """Return traces as JSON can hold them: no number that is not finite, and no text that plotly would take for tags.

    >>> plain({"name": "<b>g</b>", "y": [1.0, float("inf")]})
    {'name': '&lt;b&gt;g&lt;/b&gt;', 'y': [1.0, None]}
    """
    match value:
        case dict():
            return {name: plain(inner, name) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner, key) for inner in value]
        case float():
            return _rounded(value) if math.isfinite(value) else None
        case str() if key not in _OURS:
            return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        case _:
            return value


def _rounded(value: float) -> float:
    """Return a number to six digits, which is more than a figure shows."""
    return float(f"{value:.6g}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("neuropt.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment


def prose(text: str) -> Markup:
    """Return a sentence with what stands in backquotes as code.

    >>> prose("`g < 1` is a rule")
    Markup('<code>g &lt; 1</code> is a rule')
    """
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


@cache
def _text(name: str) -> str:
    return files("neuropt.reporting").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    found: str = import_module("plotly.offline").get_plotlyjs()
    return found


@cache
def _packed() -> str:
    """Return plotly's script at a third of its size; browsers unpack it."""
    return base64.b64encode(gzip.compress(_plotly().encode(), 9, mtime=0)).decode("ascii")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
