r"""Formulas of the pages as MathML, which browsers typeset without a script and without a network.

- `$x^2$` in a line and `$$x^2$$` as a paragraph are LaTeX, as forges show it; pymdownx.arithmatex finds them, and here they are converted.
- Equations of optimizers' docstrings, which are plain text, are made LaTeX first.
- Where a page says `<!-- formulas of the zoo -->`, each known rule stands with its equations, as in a report.
"""

from __future__ import annotations

import html
import re

from equations import latex_of
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FOUND = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
EQUATIONS = re.compile(r'<pre class="equations">(.*?)</pre>', re.DOTALL)
ZOO = "<!-- formulas of the zoo -->"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in the formulas of known rules."""
    return markdown.replace(ZOO, formulas_of_the_zoo()) if ZOO in markdown else markdown


def on_page_content(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Convert what arithmatex found, and equations of docstrings."""
    text = FOUND.sub(lambda found: mathml(html.unescape(found[2]), block=found[1] == "div"), text)
    return EQUATIONS.sub(lambda found: typeset(html.unescape(found[1])), text)


def typeset(equations: str) -> str:
    """Return lines of a docstring as MathML, each a block."""
    return (
        f'<div class="equations">{"".join(mathml(latex_of(line), block=True) for line in equations.splitlines())}</div>'
    )


def mathml(latex: str, block: bool) -> str:
    r"""Return a formula as MathML.

    >>> mathml(r"\beta", block=False)
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>&#x003B2;</mi></mrow></math>'
    """
    converted: str = convert(latex.strip(), display="block" if block else "inline")
    return converted


def formulas_of_the_zoo() -> str:
    """Return each rule of the zoo as HTML: its name, what it is, its equations and its source."""
    from neuropt.reporting.formulas import to_mathml
    from search_space import describe_zoo

    parts = []
    for known in describe_zoo().values():
        parts.append(f'<dt id="{known.name}"><code>{known.name}</code>: {html.escape(known.description)}</dt>')
        parts.append(f"<dd>{to_mathml(known.rule)}<small>{html.escape(known.source)}</small></dd>")
    return f'<dl class="zoo">{"".join(parts)}</dl>'
