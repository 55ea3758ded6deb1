r"""Equations as docstrings write them, as LaTeX.

    m = beta1 m + (1 - beta1) g      ->   m = \beta_{1} m + (1 - \beta_{1}) g
    w = w - lr mhat / sqrt(v)        ->   w = w - \text{lr}\;\hat{m} / \sqrt{v}

A letter, with an index or without, is a symbol, and so are Greek names and those that end in hat or bar; functions are upright; any other
word is text. Nothing is rearranged: a quotient stays on its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

GREEK = ("alpha", "beta", "gamma", "delta", "eta", "lambda", "pi", "sigma")
FUNCTIONS = ("ceil", "clamp", "cos", "exp", "log", "max", "min", "mod", "norm", "round", "sign", "softmax")
SIGNS = {"<-": r"\leftarrow", "<=": r"\leq", ">=": r"\geq", "~": r"\sim", "*": r"\cdot", "...": r"\ldots"}
OPERATORS = (*SIGNS, "=", "+", "-", "/", "<", ">")
TOKEN = re.compile(r"(?P<blank> +)|(?P<number>\d+(?:\.\d+)?)|(?P<name>i-th|[A-Za-z]\w*)|(?P<sign><-|<=|>=|\.\.\.|.)")


def latex_of(line: str) -> str:
    r"""Return a line of equations as LaTeX.

    >>> print(latex_of("w = w - lr base^(f(t) sign(g)) g,  t_cur >= 1"))
    w = w - \text{lr}\;\text{base}^{f(t) \operatorname{sign}(g)} g,\qquad t_{\text{cur}} \geq 1
    """
    return "".join(_written(list(_tokens(line))))


def _tokens(line: str) -> Iterator[tuple[str, str]]:
    for match in TOKEN.finditer(line.strip()):
        yield str(match.lastgroup), match[0]


def _written(tokens: list[tuple[str, str]]) -> Iterator[str]:
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if text == "sqrt" or text == "^":
            inner, at = _operand(tokens, at)
            yield f"{chr(92) + 'sqrt' if text == 'sqrt' else '^'}{{{''.join(_written(inner))}}}"
        elif kind == "name":
            yield _name(text)
        elif kind == "blank":
            yield _space(text, tokens[at - 2][1], tokens[at][1])
        else:
            yield SIGNS.get(text, text)


def _space(blank: str, before: str, after: str) -> str:
    """Return what is between two tokens: equations stand apart, and so do words, which a product would run together."""
    if before in OPERATORS or after in OPERATORS:
        return " "
    if len(blank) > 1:
        return r"\qquad "
    return r"\;" if any(_name(word).startswith(r"\text") for word in (before, after) if word[0].isalpha()) else " "


def _operand(tokens: list[tuple[str, str]], at: int) -> tuple[list[tuple[str, str]], int]:
    """Return what a root or an exponent holds, without its parentheses, and where it ends."""
    first = at + (tokens[at][1] == "-")
    if tokens[first][1] != "(":
        return tokens[at : first + 1], first + 1
    depth, end = 1, first + 1
    while depth:
        depth += {"(": 1, ")": -1}.get(tokens[end][1], 0)
        end += 1
    return tokens[at:first] + tokens[first + 1 : end - 1], end


def _name(name: str) -> str:
    stem, _, index = name.partition("_")
    if name in FUNCTIONS:
        return rf"\operatorname{{{name}}}"
    if name == "sum" or name.startswith("sum_"):
        return rf"\sum_{{{index}}}" if index else r"\sum "
    symbol = _symbol(stem)
    if symbol is None:
        return rf"\text{{{name}}}"
    inner = _symbol(index) or rf"\text{{{index}}}"
    return f"{symbol}_{{{inner}}}" if index else symbol


def _symbol(name: str) -> str | None:
    """Return a letter, a Greek letter with or without a number, or one with a hat or a bar, as LaTeX."""
    if len(name) == 1:
        return name
    match = re.fullmatch(r"([a-z]+?)(\d*)", name)
    if re.fullmatch("[gmv](hat|bar)", name):
        return rf"\{name[1:]}{{{name[0]}}}"
    if match is None or match[1] not in (*GREEK, "eps"):
        return None
    letter = r"\epsilon" if match[1] == "eps" else f"\\{match[1]}"
    return f"{letter}_{{{match[2]}}}" if match[2] else letter
