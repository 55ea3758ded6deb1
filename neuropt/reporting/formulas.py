"""Rules as MathML, which browsers typeset without a library and without a network.

    m = 0.9 * prev(m) + 0.1 * g  ->  m_{t} &= 0.9 m_{t-1} + 0.1 g_{t}  ->  <math> ... </math>

The converter knows no aligned equations, so each side of each equation is converted alone and stands in a cell of a table.
"""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element

from search_space import Rule, expand, parse_rule, to_latex

_WORD = re.compile(r"\\mathrm\{((?:[^{}\\]|\\_)*)\}")  # letter by letter in MathML; a text stays one word


def formula_of(text: str) -> str | None:
    """Return rule text as MathML, with the equations of what is ready in the language, or None if it is no rule.

    >>> formula_of("g")[:47]
    '<math display="block"><mtable class="equations"'
    >>> formula_of("<script>") is None
    True
    """
    try:
        return to_mathml(parse_rule(text))
    except ValueError:
        return None


def to_mathml(rule: Rule) -> str:
    """Return a rule as a block of aligned equations."""
    math = ElementTree.Element("math", display="block")
    table = ElementTree.SubElement(math, "mtable", {"class": "equations", "displaystyle": "true"})
    body = to_latex(expand(rule)).removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
    for line in body.split(" \\\\\n"):
        name, _, formula = line.partition(" &= ")
        row = ElementTree.SubElement(table, "mtr")
        for cell in (_converted(name), _equals(), _converted(formula)):
            ElementTree.SubElement(row, "mtd").append(cell)
    return ElementTree.tostring(math, encoding="unicode")


def _converted(latex: str) -> ElementTree.Element:
    words = _WORD.sub(lambda word: rf"\text{{{word[1].replace(chr(92) + '_', '_')}}}", latex)
    element: ElementTree.Element = convert_to_element(words)
    for inner in element.iter():
        inner.text = None if inner.text is None else unescape(inner.text)  # it writes signs as references to characters
    _set_words_apart(element)
    return element[0]


def _set_words_apart(element: ElementTree.Element) -> None:
    """Put a thin space between factors of which one is a word, which would read as one word with its neighbour."""
    for row in list(element.iter("mrow")):
        neighbours = list(pairwise(row))
        for position, (one, other) in reversed(list(enumerate(neighbours, 1))):
            if "mo" not in (one.tag, other.tag) and (_is_word(one) or _is_word(other)):
                row.insert(position, ElementTree.Element("mspace", width="0.17em"))


def _is_word(element: ElementTree.Element) -> bool:
    return element.tag == "mtext" or (element.tag in ("msub", "msup", "msubsup") and element[0].tag == "mtext")


def _equals() -> ElementTree.Element:
    sign = ElementTree.Element("mo")
    sign.text = "="
    return sign
