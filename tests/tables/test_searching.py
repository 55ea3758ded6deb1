"""A search on a table is the search that would have trained, without the training."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from controllers import list_presets
from neuropt.config import SearchConfig
from neuropt.evaluating.contenders import find_contender
from neuropt.searching.ledger import open_ledger
from neuropt.searching.recorded import finalist_rows
from neuropt.searching.search import run_search
from neuropt.tables.table import Table
from neuropt.tables.table_file import write_table
from tests.tables.conftest import TINY

BUDGET = 18
CONFIG = SearchConfig(
    space="tiny", groups=1, rules=BUDGET, rules_per_trial=6, finalists=3, controller="random", deterministic=True
)


def config(path: Path, **changes: object) -> SearchConfig:
    return replace(CONFIG, task=f"table:{path}", **changes)  # type: ignore[arg-type]  # fields by name


def rewards(run: Path) -> dict[str, float]:
    """Rule -> reward, of a run."""
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        rows = ledger.connection.execute("SELECT rule, reward FROM rewards JOIN proposals ON proposal = id ORDER BY id")
        return {str(rule): float(reward) for rule, reward in rows}


@pytest.mark.parametrize("controller", list_presets())
def test_every_controller_gets_the_rewards_of_one_seed(
    controller: str, path: Path, table: Table, tmp_path: Path
) -> None:
    run = run_search(config(path, controller=controller, seed=1, finalists=0), tmp_path / "run")
    found = rewards(run)
    assert len(found) == BUDGET
    expected = table.judge(seen=(1,)).rewards
    for rule, reward in found.items():
        assert reward == pytest.approx(expected[table.rules.index(rule)], rel=1e-12)


def test_a_search_on_the_table_is_the_search_that_trains(path: Path, table: Table, tmp_path: Path) -> None:
    """Random search learns nothing, so both propose the same; seed 0 of a search trains on seed 0, the table's first."""
    looked_up = run_search(config(path, finalists=0), tmp_path / "table")
    trained = run_search(
        replace(CONFIG, finalists=0, halving=False, steps=TINY.steps, executor="in-process"), tmp_path / "trained"
    )
    strings = []
    for run in (looked_up, trained):
        with closing(open_ledger(run / "ledger.sqlite")) as ledger:
            query = "SELECT id, tokens, key, status, original, reason FROM proposals ORDER BY id"
            strings.append([row for row in ledger.connection.execute(query).fetchall() if row[3] == "new"])
    assert [row[:4] for row in strings[0]] == [row[:4] for row in strings[1]]
    # other company, other last bits: the rewards are shares of 397 images
    np.testing.assert_allclose([*rewards(looked_up).values()], [*rewards(trained).values()], atol=2 / 397)


def test_several_seeds_may_be_seen(path: Path, table: Table, tmp_path: Path) -> None:
    run = run_search(config(path, child_seeds=2, seed=2, reward="loss", finalists=0), tmp_path / "run")
    expected = table.judge(seen=(2, 0), reward="loss").rewards
    for rule, reward in rewards(run).items():
        assert reward == pytest.approx(expected[table.rules.index(rule)], rel=1e-6)


def test_finalists_are_reported_on_the_seeds_that_the_search_did_not_see(
    path: Path, table: Table, tmp_path: Path
) -> None:
    run = run_search(config(path, seed=1), tmp_path / "run")
    with closing(open_ledger(run / "ledger.sqlite")) as ledger:
        rows = finalist_rows(ledger)
        best = ledger.best(3)
    judged = table.judge(seen=(1,))
    by_name = {row.optimizer: row for row in rows}
    assert [name for name in by_name if name.startswith("run:")] and {"sgd"} <= by_name.keys()  # noqa: PT018
    for found in best:
        row, rule = by_name[f"run:{found.position}"], table.rules.index(found.rule)
        assert (row.n, row.tune_seeds, row.searched, row.test_accuracy) == (2, 1, True, None)
        assert row.learning_rate == pytest.approx(table.learning_rates(rule)[judged.rates[rule]])
        assert row.accuracy is not None
        assert row.accuracy.median == pytest.approx(judged.accuracies[rule])  # of two, the mean
    assert not by_name["sgd"].searched


def test_the_table_of_finalists_has_no_test_column_filled(path: Path, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w+") as said:
        run_search(config(path), tmp_path / "run", console=Console(file=said, width=160))
        said.seek(0)
        text = said.read()
    assert "Finalists of" in text
    assert "failed" not in text


def test_a_killed_search_goes_on_to_the_same_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_search(config(path, controller="ppo"), tmp_path / "whole")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("neuropt.tables.table_source.TableExecutor._done", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_search(config(path, controller="ppo"), tmp_path / "killed")
    killed = run_search(SearchConfig(), tmp_path / "killed", resume=True)
    assert rewards(killed) == rewards(whole)


def test_a_table_that_has_changed_is_noticed_on_resuming(invented: Table, tmp_path: Path) -> None:
    file = tmp_path / "t.npz"
    write_table(invented, file)
    run = run_search(config(file), tmp_path / "run")
    file.unlink()
    write_table(replace(invented, facts={"x": 1}), file)
    with pytest.raises(ValueError, match="data_sha256 was"):
        run_search(SearchConfig(), run, resume=True)


def test_a_rule_that_failed_fails_again(invented: Table, tmp_path: Path) -> None:
    file = tmp_path / "t.npz"
    write_table(replace(invented, failures=dict.fromkeys(range(31), "it took too long")), file)
    with pytest.raises(ValueError, match="no rule could be trained; the first failed with it took too long"):
        run_search(config(file), tmp_path / "run")


def test_a_run_on_a_table_was_found_on_its_task(path: Path, tmp_path: Path) -> None:
    run = run_search(config(path, seed=1), tmp_path / "run")
    contender = find_contender(f"{run}:1")
    assert contender.searched == {"digits-mlp"}
    assert contender.used_seeds == (1,)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "another space": (
        {"space": "icml2017"},
        r"is of tiny with 1 group, not of icml2017 with 1 group; give --space tiny",
    ),
    "other groups": (
        {"groups": 2},
        r"is of tiny with 1 group, not of tiny with 2 groups; give --space tiny --groups 1",
    ),
    "no seed left": ({"child_seeds": 3}, "child_seeds must be at most 2 .* but got 3"),
    "another grid": ({"grid": "paper"}, "grid must be scaled"),
    "a budget": ({"steps": 20}, "steps says how children are trained, but .* trains none; leave it out"),
    "a measurement": ({"rules_per_trial": "auto", "deterministic": False}, "rules_per_trial must be a number"),
    "an address": ({"address": "h:1"}, "address says how children are trained"),
    "workers": ({"workers": 2}, "workers says how children are trained"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_table_cannot_answer_is_refused_before_anything_is_written(
    case: str, path: Path, tmp_path: Path
) -> None:
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        run_search(config(path, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_vocabulary_under_the_same_name_is_refused(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(
        'name = "tiny"\ndescription = "x"\ngroups = 1\noperands = ["g", "mhat", "sign(g)", "1e-3 * w"]\n'
        'unary = ["x", "-x", "exp(x)", "clip(x, 1e-3)"]\nbinary = ["x + y", "x * y", "x"]\n',
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="is of a space of this name with another vocabulary"):
        run_search(config(path, space=str(file)), tmp_path / "run")


def test_a_rule_costs_microseconds(table: Table) -> None:
    """What a controller's proposal costs: its rule, and the rule's reward."""
    strings = [tuple(tokens) for tokens in table.tokens.tolist()] * 300
    judged = table.judge(seen=(0,))

    def once() -> float:
        began = time.process_time()  # other tests may share the machine
        for tokens in strings:
            rule = table.lookup(tokens)
            assert rule is not None
            _ = judged.rewards[rule]
        return (time.process_time() - began) / len(strings)

    assert min(once() for _ in range(5)) < 20e-6
