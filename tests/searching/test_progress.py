import io

import pytest
from rich.console import Console

from neuropt.searching.ledger_rows import ProposalRow, RewardRow
from neuropt.searching.progress import Progress

RULE = ProposalRow(0, (0,), "g", "key", "new", None, None, False, 1.0)
COPY = ProposalRow(1, (0,), "2 * g", "key", "duplicate", 0, None, False, None)


def reward(value: float, status: str = "trained") -> RewardRow:
    return RewardRow(0, status, value, value, 0.1, 0.1, None)  # type: ignore[arg-type]  # text


def test_the_line_says_what_happened() -> None:
    progress = Progress(10, None)
    progress.asked([RULE, COPY])
    progress.told([RULE], [reward(0.91234)])
    progress.told([RULE], [reward(0.5)])
    progress.told([RULE], [reward(0.0, "failed")])
    line = progress.line().plain
    assert line.startswith("2/10 rules")
    for part in ("best 0.9123", "1 duplicates", "0 rejected", "1 failed", "left"):
        assert part in line


def test_without_a_terminal_it_prints_plain_lines_and_the_last_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuropt.searching.progress.PLAIN_EVERY", -1.0)
    output = io.StringIO()
    with Progress(2, Console(file=output, width=200)) as progress:
        progress.told([RULE], [reward(0.9)])
        progress.told([RULE], [reward(0.8)])
    lines = output.getvalue().splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["1/2 rules", "2/2 rules"]


def test_what_was_replayed_does_not_count_as_pace() -> None:
    progress = Progress(100, None)
    for _ in range(50):
        progress.told([RULE], [reward(0.9)])
    progress.resumed()
    assert progress.rate == 0.0
