"""The tables of an evaluation, as a reader sees them."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from neuropt.evaluating.config import EvaluationConfig
from neuropt.evaluating.contenders import Contender
from neuropt.evaluating.evaluation import Evaluation
from neuropt.evaluating.grafting import MEMBERS
from neuropt.evaluating.protocol import Study
from neuropt.reporting.evaluations import print_evaluation
from search_space import parse_rule
from tests.evaluating.written_studies import PROTOCOL, studies, study

LOW = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.87, 0.88, 0.89]
RULE = parse_rule("g * exp(sign(g) * sign(m)) + drop(g, 0.5) * 1e-5")


def shown(found: list[Study], width: int, seeds: int = 10) -> list[str]:
    """The lines that a terminal of some width gets; each study is cut to its first seeds."""
    cut = [replace(s, report=s.report[:seeds]) for s in found]
    protocol = replace(PROTOCOL, report_seeds=PROTOCOL.report_seeds[:seeds])
    names = tuple(s.contender.name for s in found)
    config = EvaluationConfig(names, ("digits-mlp",), seeds=seeds)
    known = tuple((task, tuple(those)) for task, those in studies({"digits-mlp vision": cut, "other text": cut}))
    evaluation = Evaluation((), known, protocol, {}, config, {}, {})
    out = StringIO()
    print_evaluation(evaluation, Console(file=out, width=width, force_terminal=True, no_color=True, highlight=False))
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()]


def some() -> list[Study]:
    found = Contender("first:1", RULE, searched=frozenset({"digits-mlp"}))
    return [
        study("adamw", LOW),
        study(found, [value + 0.05 for value in LOW]),
        study("sgd", [*LOW[:4], *[None] * 6]),
        replace(study("lion", []), failure="out of memory"),
    ]


@pytest.mark.parametrize("width", [80, 112, 160])
def test_a_table_fits_and_says_what_its_numbers_rest_on(width: int) -> None:
    lines = shown(some(), width)
    assert max(map(len, lines)) <= width
    text = " ".join(lines).replace("  ", " ")
    for said in (
        "digits-mlp (vision), 150 steps",
        "n = 10 fresh seeds",
        "9 trials of 2 other seeds each",
        "probability of improvement on adamw",
        "lion failed: out of memory",
        "* found by a search on this task, so these numbers are no evidence",
        "first:1: g * exp(sign(g) * sign(m)) + drop(g, 0.5) * 1e-05",
    ):
        assert said in text


def test_a_row_holds_the_median_its_interval_n_and_the_diverged() -> None:
    lines = shown(some(), 160)
    (first,) = [line for line in lines if line.startswith("1 ") and "first:1*" in line]
    assert "89.50 [" in first
    assert first.split()[-2:] == ["10", "0"]
    (sgd,) = [line for line in lines[:10] if " sgd " in line]
    assert sgd.split()[0] == "3"
    assert sgd.split()[-1] == "6", "diverged, and still in n"
    assert "0.00 [" in sgd


def test_five_seeds_get_no_interval_and_the_table_says_why() -> None:
    lines = shown([study("adamw", LOW), study("adam", LOW)], 160, seeds=5)
    assert "5 seeds cannot support a 95 % interval of a median" in " ".join(lines)
    (row,) = [line for line in lines[:6] if " adamw " in line]
    assert "[" not in row


def test_a_difference_over_two_tasks_is_a_sentence_with_n() -> None:
    ahead = study("adam", [value + 0.05 for value in LOW])
    text = " ".join(shown([study("adamw", LOW), ahead], 160))
    assert (
        "adam against adamw, n = 2 tasks that are evidence, of 2 families, 10 seeds each: ahead on 2, behind on 0"
        in text
    )


def test_pairs_are_a_table_of_magnitudes_and_directions() -> None:
    pairs = [study(f"graft({m}, {d})", [0.5 + i / 20] * 6) for i, m in enumerate(MEMBERS) for d in MEMBERS]
    lines = shown(pairs, 160, seeds=6)
    start = next(i for i, line in enumerate(lines) if line.startswith("magnitude \\ direction"))
    assert lines[start].split()[-6:] == list(MEMBERS)
    assert lines[start + 6].split() == ["yogi", *["3.5"] * 6], "the best six of 36 places"
    assert any("rows cluster by magnitude" in line for line in lines)


def test_what_the_reference_itself_is_compared_with_is_said() -> None:
    under = [study("adamw", [value + 0.05 for value in LOW], "linear"), study("sgd", LOW)]
    text = " ".join(shown([study("adamw", LOW), *under], 160))
    assert "improvement on adamw under the same schedule (of adamw itself: on it under constant), p: signed" in text
    assert "itself" not in " ".join(shown(some(), 160))
