"""A page holds all it needs, lets nothing in a run run, and says what it shows to those who do not see it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from neuropt.reporting.blocks import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Figure,
    Formula,
    Formulas,
    Page,
    Section,
    Table,
    Text,
    View,
)
from neuropt.reporting.formulas import formula_of, to_mathml
from neuropt.reporting.rendering import plain, prose, render_main, render_page
from neuropt.reporting.report import write_report
from search_space import parse_rule, zoo
from tests.reporting.reading import Parsed, parsed

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<!--",
    "]]>",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "`<b>`",
    "</ScRiPt >",
    "<a href='javascript:alert(1)'>g</a>",
    "\u2028\u2029\x00",
]


def page_with(text: str) -> Page:
    """A page that shows a text wherever a text can stand."""
    figure = Figure(
        "f",
        text,
        f"{text} n = 1",
        [View([{"type": "scatter", "name": text, "y": [1.0]}], {"title": text}, (text,))],
        [{"a": text}],
        (text,),
    )
    table = Table(
        "t",
        text,
        text,
        [Column(text, False, text), Column(text)],
        [[Cell(text, text, text, True), Cell(text, text)]] * 2,
        filtered=0,
    )
    formulas = Formulas([Formula(text, text, formula_of(text), [Fact(text, text)])])
    blocks: list[Block] = [
        figure,
        table,
        Facts(text, [Fact(text, text, text)]),
        formulas,
        Text([text]),
        Text([text], points=True),
    ]
    return Page(text, text, text, [text], [Fact(text, text, text)], [Section("s", text, blocks)])


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    harmless, hostile = Parsed(render_page(page_with("harmless"))), Parsed(render_page(page_with(text)))

    def skeleton(page: Parsed) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in page.tags if tag != "code"]

    assert skeleton(hostile) == skeleton(harmless), "the same elements with the same attributes: the text made none"
    assert "49" not in hostile.words(), "no template in a text is filled in"
    figure = hostile.figures()["f"][0]
    assert figure["traces"][0]["name"] == text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=40).filter(lambda text: formula_of(text) is None))
def test_any_text_leaves_the_elements_of_a_page_as_they_are(text: str) -> None:
    expected = [tag for tag, _ in Parsed(str(render_main(page_with("harmless")))).tags if tag != "code"]
    assert [tag for tag, _ in Parsed(str(render_main(page_with(text)))).tags if tag != "code"] == expected


def test_no_name_turns_the_writing_around_it() -> None:
    marks = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    page = render_page(page_with(f"rule {marks} of"))
    shown = "rule " + 12 * "\ufffd" + " of"
    assert not set(marks) & set(page)
    assert not [mark for mark in marks if f"\\u{ord(mark):04x}" in page]
    assert Parsed(page).figures()["f"][0]["choice"] == [shown], "picked by what the page shows"
    assert f"<option>{shown}</option>" in page


def test_data_in_a_script_cannot_end_it() -> None:
    text = str(render_main(page_with("</script><!--<script>")))
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert not set("<>&") & set(data[1])
    assert json.loads(data[1])["f"][0]["choice"] == ["</script><!--<script>"], "what is picked is compared as it is"


def test_only_our_two_scripts_may_run(run: Path, tmp_path: Path) -> None:
    page = parsed(write_report(run, tmp_path))
    (policy,) = [a["content"] or "" for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    scripts = page.scripts()
    plotly = gzip.decompress(base64.b64decode(scripts["plotly"]))
    assert plotly.decode() == get_plotlyjs()

    def hashed(content: bytes) -> str:
        return base64.b64encode(hashlib.sha256(content).digest()).decode()

    assert allowed == {hashed(scripts[""].encode()), hashed(plotly)}
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.partition("script-src")[2]


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_a_report_is_one_file_that_reaches_for_nothing(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    found = request.getfixturevalue(kind)
    file = write_report(found if kind == "run" else found.folder, tmp_path)
    page = parsed(file)
    assert page.attributes("script", "src") == page.attributes("img", "src") == page.attributes("link", "href") == []
    local = [path.name for path in tmp_path.iterdir()]
    names = page.attributes("a", "href")
    ids = {value for tag, attributes in page.tags for name, value in attributes.items() if name == "id"}
    assert all(name in local or name.removeprefix("#") in ids for name in names)
    assert file.stat().st_size < 3_000_000


@pytest.mark.parametrize("kind", ["run", "evaluation"])
def test_a_page_speaks_to_those_who_do_not_see_it(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found = request.getfixturevalue(kind)
    page = parsed(write_report(found if kind == "run" else found.folder, tmp_path))
    ids = [value for _, attributes in page.tags for name, value in attributes.items() if name == "id"]
    assert len(ids) == len(set(ids)), "no id twice"
    for tag, attributes in page.tags:
        if attributes.get("role") in ("img", "region"):
            label = attributes.get("aria-labelledby")
            assert attributes.get("aria-label") or label in ids
        if attributes.get("role") == "region":
            assert attributes.get("tabindex") == "0", "what scrolls is reached by keyboard"
        if tag == "html":
            assert attributes["lang"] == "en"
    assert page.attributes("th", "scope").count("col") >= 3
    assert "row" in page.attributes("th", "scope")


def test_numbers_that_json_lacks_are_null() -> None:
    assert plain({"y": [float("nan"), float("inf"), 1, 2.5]}) == {"y": [None, None, 1, 2.5]}
    assert plain({"hovertemplate": "%{y}<br>"}) == {"hovertemplate": "%{y}<br>"}, "plotly's own tags are meant there"


def test_prose_knows_code_and_nothing_else() -> None:
    assert str(prose("`a < b` & <c>")) == "<code>a &lt; b</code> &amp; &lt;c&gt;"


# ---- formulas


@pytest.mark.parametrize("name", sorted(zoo()))
def test_every_rule_of_the_zoo_is_typeset_without_a_trace_of_latex(name: str) -> None:
    formula = to_mathml(zoo()[name])
    assert formula.startswith('<math display="block">')
    assert "\\" not in formula
    assert "&amp;" not in formula
    assert formula.count("<mtr>") >= len(zoo()[name].equations)


def test_a_formula_says_what_the_rule_says() -> None:
    formula = to_mathml(parse_rule("beta = 0.9; buf = beta * prev(buf) + g; u = buf / 2"))
    rows = [re.sub(r"<[^>]+>", "", row) for row in re.findall(r"<mtr>(.*?)</mtr>", formula)]
    assert rows == ["β=0.9", "buft=βbuft−1+gt", "ut=buft2"]
    assert '<mi>β</mi><mspace width="0.17em" /><msub><mtext>buf' in formula, "a word is set apart from its neighbour"


def test_names_with_several_words_keep_their_underscores() -> None:
    assert "<mtext>weight_decay</mtext>" in to_mathml(zoo()["sgdw"])


@pytest.mark.parametrize("text", ["", "g +", "<math>", "import os", "u = unknown(g)"])
def test_what_is_no_rule_has_no_formula(text: str) -> None:
    assert formula_of(text) is None
