"""What the tables print."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from neuropt.evaluating.row import Row
from neuropt.evaluating.statistics import Spread
from neuropt.reporting.tables import print_rows, shortened

RULE = "drop(g, 0.1) * exp(sign(g) * sign(mhat)) + 0.001 * w + clip(m, 0.0001) * ld"


def row(name: str, median: float, rule: str | None = None, **other: object) -> Row:
    spread = Spread(median, median - 0.01, median + 0.01, median - 0.02, median + 0.02)
    loss = Spread(1 - median, 0.1, 0.2)
    values: dict[str, object] = {
        "task": "digits-mlp",
        "optimizer": name,
        "rule": rule,
        "metric": "accuracy",
        "learning_rate": 0.0214,
        "edge": False,
        "rates": 7,
        "tune_seeds": 3,
        "n": 10,
        "diverged": 0,
        "accuracy": spread,
        "loss": loss,
        "test_accuracy": spread,
        "test_loss": loss,
    }
    return Row(**values | other)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # named above


ROWS = [
    row("RUN:10", 0.95, RULE, searched=True),
    row(RULE, 0.94, RULE, edge=True, rates=9, learning_rate=1.16e6),
    row("powersign-ld", 0.9),
    row("g", 0.1, "g", diverged=4),
    row(
        "w", 0.0, "w", failure="does not use the gradient", accuracy=None, loss=None, test_accuracy=None, test_loss=None
    ),
]


def printed(rows: list[Row], width: int) -> str:
    file = io.StringIO()
    print_rows(rows, "Finalists of runs/first on digits-mlp", Console(file=file, width=width, highlight=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_tables_fit_and_are_plain(width: int) -> None:
    text = printed(ROWS, width)
    table = text.splitlines()[1 : 2 + len(ROWS)]
    assert all(len(line) <= width for line in table)
    assert "\x1b" not in text
    assert [line.split()[0] for line in table[1:]] == ["1", "2", "3", "4", "5"]
    assert "95.00 [94.00, 96.00]" in table[1]
    assert "1.16e+06^" in table[2]
    assert "powersign-ld" in table[3]


def test_the_interval_is_shown_where_there_is_room() -> None:
    assert "[93.00, 97.00]" in printed(ROWS, 120)
    assert "[93.00, 97.00]" not in printed(ROWS, 80)


@pytest.mark.parametrize("width", [80, 120])
def test_every_rule_is_there_in_full(width: int) -> None:
    lines = printed(ROWS, width).splitlines()
    assert f"1 RUN:10: {RULE}" in lines
    assert f"2 {RULE}" in lines


def test_the_notes_say_what_the_numbers_rest_on() -> None:
    text = printed(ROWS, 80)
    assert "over n = 10 fresh seeds at the best of 7 learning rates (up to 9 where the best lay on the edge)" in text
    assert "chosen by validation on 3 other seeds" in text
    assert "w failed: does not use the gradient" in text
    assert "* found by a search on this task" in text
    assert "^ the best learning rate is the lowest or highest tried" in text


def test_few_seeds_are_said_to_be_few() -> None:
    assert "5 seeds cannot support a 95 % interval" in printed([row("adam", 0.9, n=5)], 120)


def test_losses_are_shown_as_losses() -> None:
    assert "0.1000 [0.1000, 0.2000]" in printed([row("adam", 0.9, metric="loss")], 80)


def test_markup_in_a_name_is_text() -> None:
    assert "[red]" in printed([row("[red]", 0.5)], 80)


def test_nothing_is_said_to_be_nothing() -> None:
    assert printed([], 80) == "Finalists of runs/first on digits-mlp: nothing was compared\n"


def test_the_middle_is_left_out() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcd...ijk"


@pytest.mark.parametrize("width", [80, 160])
def test_schedules_are_shown_where_there_are_any(width: int) -> None:
    rows = [row("adam", 0.9, schedule="normalized-restarts"), row(RULE, 0.8, RULE, schedule="cosine"), row("sgd", 0.7)]
    lines = printed(rows, width).splitlines()
    assert all(len(line) <= width for line in lines[1:5])
    assert ("schedule" in lines[1]) == (width == 160)
    assert lines[2].split()[1:3] == ["adam", "normalized-restarts" if width == 160 else "normal...starts"]
    assert "cosine" in lines[3]
    assert "constant" in lines[4]
    assert "schedule" not in printed([row("adam", 0.9)], 160)


def test_a_narrow_table_says_in_full_what_it_cuts() -> None:
    rows = [
        row("powersign-restart", 0.9, schedule="noisy-linear-cosine"),
        row("adam", 0.8, schedule="cosine"),
        row(RULE, 0.7, RULE, schedule="snapshot"),
    ]
    lines = printed(rows, 80).splitlines()
    assert "1 powersign-restart under noisy-linear-cosine" in lines
    assert not [line for line in lines if line.startswith("2 adam under")], "it is in the table"
    assert f"3 {RULE}" in lines
    assert "powersign-restart under" not in printed(rows, 160), "there is room for both"
