"""docs/language.md says what the language is: its tables, its grammar and its limits are held against the code."""

from __future__ import annotations

import re

import numpy as np
import pytest

import search_space.text
from search_space import Interpreter, parse_expression, parse_rule
from search_space.primitives import PRIMITIVES
from search_space.rule import DECAYS, INPUTS, MAX_DEPTH, MAX_DRAWS, MAX_NODES, READY, REMEMBERING
from tests.project.pages import ROOT

PAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
G, W = np.array([[3.0, -4.0]]), np.array([0.5, 2.0])
IN_THREE_STEPS = np.array([[4.0], [2.0], [-2.0]])


def table(heading: str) -> list[list[str]]:
    """The rows of the table with this first line."""
    lines = PAGE[PAGE.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


FUNCTIONS = table("| function | meaning | example | value |")
REMEMBER, DECAY = (
    PAGE.split("| function | meaning | example | values |")[k].split("\n\n")[0].splitlines()[2:] for k in (1, 2)
)
ROWS = [(row[2], row[3], G, W) for row in FUNCTIONS]
ROWS += [
    (cells[2], cells[3], IN_THREE_STEPS, np.zeros(1))
    for cells in ([c.strip() for c in line.strip("|").split(" | ")] for line in REMEMBER)
]
ROWS += [
    (cells[2], cells[3], np.ones((5, 1)), np.zeros(1))
    for cells in ([c.strip() for c in line.strip("|").split(" | ")] for line in DECAY)
]


@pytest.mark.parametrize(("example", "said", "gradients", "w"), ROWS, ids=[row[0] for row in ROWS])
def test_examples_have_the_values_that_the_page_says(
    example: str, said: str, gradients: np.ndarray, w: np.ndarray
) -> None:
    (text,) = codes(example)
    interpreter = Interpreter(parse_rule(text), decay_steps=4)
    values = np.concatenate([interpreter.step(g, w, lr=0.1) for g in gradients])
    assert ", ".join(f"{value + 0.0:.4g}" for value in values) == said


def forms(lines: list[str]) -> dict[str, set[int]]:
    """Name -> numbers of arguments, of the first column of some rows."""
    found: dict[str, set[int]] = {}
    for form in [form for line in lines for form in codes(line.split(" | ")[0])]:
        name, _, inside = form.partition("(")
        found.setdefault(name, set()).add(inside.count(",") + 1 if inside else 0)
    return found


def test_every_primitive_has_a_row() -> None:
    called = {form.partition("(")[0]: form for row in FUNCTIONS for form in codes(row[0]) if "(" in form}
    infix = {form.split()[1] for row in FUNCTIONS for form in codes(row[0]) if "(" not in form and " " in form}
    assert called.keys() | infix == PRIMITIVES.keys() | {"^"}
    for name, form in called.items():
        assert form.count(",") + 1 == PRIMITIVES[name].arity, form


def test_functions_that_remember_and_decays_have_rows() -> None:
    assert forms(REMEMBER) == {name: set(counts) for name, counts in REMEMBERING.items()}
    assert forms(DECAY) == {name: {0, *counts} for name, counts in DECAYS.items()}


def test_ready_names_are_defined_as_the_page_says() -> None:
    rows = {codes(name)[0]: codes(definition)[0] for name, definition in table("| name | definition |")}
    assert {name: parse_expression(text) for name, text in rows.items()} == READY


def test_inputs_are_those_of_the_page() -> None:
    named = [codes(row[0]) for row in table("| name | what it is |")]
    assert {names[0] for names in named if names} == INPUTS.keys() | {"prev(m)"}


def test_the_grammar_is_that_of_the_parser() -> None:
    assert search_space.text.__doc__
    lines = [line[4:] for line in search_space.text.__doc__.splitlines() if line.startswith("    ")]
    assert "\n".join(lines) in PAGE


def test_the_limits_are_those_of_the_parser() -> None:
    said = dict(table("| limit | |"))
    assert said == {
        "characters of a rule": str(search_space.text.MAX_LENGTH),
        "characters of a number": str(search_space.text.MAX_NUMBER_LENGTH),
        "operations": str(MAX_NODES),
        "depth of an equation": str(MAX_DEPTH),
        "number of a draw": str(MAX_DRAWS - 1),
    }
