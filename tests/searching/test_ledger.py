import sqlite3
import threading
from pathlib import Path

import pytest

from neuropt.searching.ledger import Ledger, create_ledger, open_ledger
from neuropt.searching.ledger_file import SCHEMA_VERSION, LedgerError
from neuropt.searching.ledger_rows import ProposalRow, RewardRow
from neuropt.training.children import Child


def proposal(number: int, status: str = "new", original: int | None = None) -> ProposalRow:
    return ProposalRow(number, (number, 1), f"{number + 1} * g", f"key{number}", status, original, None, False, 0.5)  # type: ignore[arg-type]  # text


def reward(number: int, value: float, loss: float | None = 0.1) -> RewardRow:
    children = (Child(0.1, 0, "trained", 10, 0.2, 0.3, value), Child(1.0, 0, "diverged", 3, float("inf")))
    return RewardRow(number, "trained", value, value, loss, 0.1, None, children)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return create_ledger(tmp_path / "ledger.sqlite")


def test_what_is_written_is_read_back(ledger: Ledger) -> None:
    rows = [proposal(0), proposal(1, "duplicate", 0), proposal(2)]
    ledger.write_asked(0, rows)
    ledger.write_told(0, [reward(0, 0.5), reward(2, 0.9)], 1.5, "cpu")
    assert ledger.proposals()[0] == rows
    assert [(r.proposal, r.reward) for r in ledger.rewards()[0]] == [(0, 0.5), (2, 0.9)]
    assert ledger.counts() == {"new": 2, "duplicate": 1, "rejected": 0, "trained": 2, "failed": 0, "stopped": 0}


def test_events_come_back_in_the_order_in_which_they_happened(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(0)])
    ledger.write_asked(1, [proposal(1)])
    ledger.write_told(1, [reward(1, 0.5)], 0.0, "cpu")
    ledger.write_told(0, [reward(0, 0.5)], 0.0, "cpu")
    assert [(e.kind, e.trial) for e in ledger.history()] == [("asked", 0), ("asked", 1), ("told", 1), ("told", 0)]


def test_the_order_goes_on_after_opening_again(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(0)])
    ledger.close()
    again = open_ledger(ledger.path, read_only=False)
    again.write_told(0, [reward(0, 0.5)], 0.0, "cpu")
    assert [e.kind for e in again.history()] == ["asked", "told"]


def test_best_is_by_reward_then_loss_then_age(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(i) for i in range(4)])
    rewards = [reward(0, 0.9, 0.3), reward(1, 0.9, 0.2), reward(2, 0.95, None), reward(3, 0.9, 0.3)]
    ledger.write_told(0, rewards, 0.0, "cpu")
    assert [rule.proposal for rule in ledger.best(10)] == [2, 1, 0, 3]
    assert [rule.position for rule in ledger.best(2)] == [1, 2]


def test_a_rule_is_recorded_once_or_not_at_all(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(0), proposal(1)])
    with pytest.raises(LedgerError, match="UNIQUE"):
        ledger.write_told(0, [reward(0, 0.5), reward(0, 0.6)], 0.0, "cpu")
    assert ledger.rewards()[0] == []  # the whole transaction went back
    assert [e.kind for e in ledger.history()] == ["asked"]


def test_an_existing_file_is_never_overwritten(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="exists already"):
        create_ledger(ledger.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a database at all" * 100, "not a ledger"), (b"", "not the ledger of a run")],
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=message):
        open_ledger(path)
    assert path.read_bytes() == content


def test_a_truncated_ledger_is_refused(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(i) for i in range(200)])
    ledger.close()
    content = ledger.path.read_bytes()
    ledger.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
        open_ledger(ledger.path).proposals()


def test_a_newer_schema_is_refused(ledger: Ledger) -> None:
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(LedgerError, match="use a newer neuropt"):
        open_ledger(ledger.path)


def test_an_absent_ledger_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"nothing/ledger\.sqlite does not exist"):
        open_ledger(tmp_path / "nothing" / "ledger.sqlite")


def test_it_can_be_read_while_a_search_writes(ledger: Ledger) -> None:
    ledger.write_asked(0, [proposal(0)])
    found: list[int] = []

    def read() -> None:
        other = open_ledger(ledger.path)
        found.append(other.counts()["new"])
        other.close()

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    assert found == [1]
