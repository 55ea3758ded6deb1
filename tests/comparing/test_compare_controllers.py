"""Real comparisons on a small table."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from controllers import create_controller
from neuropt import SearchConfig, run_search
from neuropt.comparing.compare import compare_controllers
from neuropt.comparing.table_search import search_table
from neuropt.searching.ledger import open_ledger
from neuropt.searching.run_folder import LEDGER
from neuropt.searching.warm_start import named_strings
from neuropt.tables.table_file import load_table
from tests.cli.running import run_here

SMALL = ("random", "evolution", "ppo")


def numbers(table: str, workers: int, seed: int = 0) -> list[dict[str, object]]:
    """Everything about all searches but the time they took."""
    found = compare_controllers(table, SMALL, budget=12, seeds=6, seed=seed, workers=workers, top_share=0.1)
    return [asdict(replace(one, milliseconds=0.0)) for one in found.measured]


def test_workers_and_time_change_nothing_but_seeds_do(table: str) -> None:
    once = numbers(table, workers=1)
    assert numbers(table, workers=2) == once
    assert numbers(table, workers=1, seed=6) != once


def test_searches_take_turns_in_the_seed_that_they_see(table: str) -> None:
    found = compare_controllers(table, ["random"], budget=5, seeds=4, seed=2, workers=1)
    assert [(one.seed, one.seen) for one in found.measured] == [(2, 2), (3, 0), (4, 1), (5, 2)]


def test_a_search_that_has_tried_everything_found_the_best(table: str) -> None:
    """Random search over all rules of the table: none is left out, so the best child is the table's best."""
    loaded = load_table(table)
    found = compare_controllers(table, ["random"], budget=len(loaded.rules), seeds=3, workers=1)
    for one in found.measured:
        judged = loaded.judge((one.seen,))
        assert one.children == len(loaded.rules) == one.proposals - one.duplicates - one.rejected
        assert one.best == judged.qualities.max()
        assert one.chosen in judged.qualities[judged.rewards == judged.rewards.max()]
        assert one.found


def test_the_children_are_distinct_and_the_controller_is_told_what_the_table_says(table: str) -> None:
    loaded = load_table(table)
    judged = loaded.judge((1,))
    controller = create_controller("evolution", loaded.space, seed=3)
    trace = search_table(loaded, judged, controller, budget=15)
    assert len(set(trace.children.tolist())) == len(trace.children) == 15
    assert (np.diff(trace.proposal) > 0).all()
    # evolution's population holds what it was told of its trained strings, the newest of at most 25: all of them
    assert controller.metrics()["population_best"] == judged.rewards[trace.children].max()
    assert controller.metrics()["population_mean"] == pytest.approx(judged.rewards[trace.children].mean())


def test_a_comparison_searches_as_a_search_does(table: str, tmp_path: Path) -> None:
    """The same controller and seed, once compared and once in a run: the ledger holds the same children in the same order."""
    loaded = load_table(table)
    trace = search_table(loaded, loaded.judge((2,)), create_controller("ppo", loaded.space, seed=5), budget=31)
    config = SearchConfig(
        space="tiny", controller="ppo", task=f"table:{table}", rules=31, seed=5, finalists=0, executor="in-process"
    )
    with closing(open_ledger(run_search(config, tmp_path / "run") / LEDGER)) as ledger:
        trained = [loaded.lookup(tokens) for tokens, _ in ledger.earned()]
        counts = ledger.counts()
    assert trained == trace.children.tolist()
    assert (counts["duplicate"], counts["rejected"]) == (trace.duplicates, trace.rejected)


def test_a_preset_of_ones_own_is_compared(table: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('description = "mine"\nalgorithm = "evolution"\n[settings]\npopulation = 3\n', encoding="utf-8")
    found = compare_controllers(table, ["random", str(mine)], budget=10, seeds=2, workers=1)
    assert [row.controller for row in found.rows] == ["random", str(mine)]
    assert found.rows[1].first.low is None, "two searches support no interval"


def test_a_warm_start_is_trained_first_by_every_controller(table: str) -> None:
    """With a budget of one child that child is the rule named, whatever the seed; without, seeds differ."""
    names = ["random", "evolution", "ppo"]
    warm = compare_controllers(table, names, budget=1, seeds=4, workers=1, warm_start="signsgd")
    loaded = load_table(table)
    (known,) = named_strings("signsgd", loaded.space)
    number = loaded.lookup(known.tokens)
    assert number is not None
    assert {one.rule for one in warm.measured} == {loaded.rules[number]}
    cold = compare_controllers(table, names, budget=1, seeds=4, workers=1)
    assert len({one.rule for one in cold.measured}) > 1
    assert json.loads(warm.to_json())["warm_start"] == "signsgd"


def test_files_and_table_of_the_command(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("compare-controllers", "--table", table, "--controllers", "random,ppo", "--budget", "12")
    ended = run_here(capsys, *command, "--seeds", "6", "--workers", "1", "--top-share", "0.1", "--out", "found")
    assert ended.code == 0
    assert "12/12 searches" in ended.err
    assert "tiny: 31 rules, 6 searches of 12 children each" in ended.out
    with Path("found/searches.csv").open(encoding="utf-8") as file:
        searches = list(csv.DictReader(file))
    assert [(one["controller"], one["seed"]) for one in searches] == [
        (name, str(seed)) for seed in range(6) for name in ("random", "ppo")
    ]
    with Path("found/curves.csv").open(encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    # `found` ends with the share of searches that found one, `entropy` is the policy's alone
    summary = json.loads(Path("found/comparison.json").read_text(encoding="utf-8"))
    for row in summary["rows"]:
        (last,) = [c for c in curves if (c["controller"], c["measure"], c["at"]) == (row["controller"], "found", "12")]
        assert float(last["middle"]) == row["found"]
        assert row["found"] == np.mean([s["found"] == "True" for s in searches if s["controller"] == row["controller"]])
    assert {c["controller"] for c in curves if c["measure"] == "entropy"} == {"ppo"}
    figure = ElementTree.fromstring(Path("found/comparison.svg").read_text(encoding="utf-8"))
    assert len(figure.findall(".//{*}polyline")) == len(figure.findall(".//{*}polygon")) == 3 * 2
    again = run_here(capsys, *command, "--out", "found")
    assert again.code == 2
    assert "searches.csv exists already" in again.err


def test_json_is_all_that_is_printed(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(
        capsys,
        "compare-controllers",
        "--table",
        table,
        "--controllers",
        "random",
        "--budget",
        "3",
        "--seeds",
        "1",
        "--json",
    )
    assert json.loads(ended.out)["rows"][0]["sooner"] is None


WRONG = [
    (["--table", "none"], "no table 'none': there are"),
    (["--controllers", "random,none"], "Unknown controller 'none': must be one of bello2017"),
    (["--controllers", "random,random"], "controllers must be different, but got 'random' twice"),
    (["--controllers", ","], "controllers must name at least one"),
    (["--controllers", "none.toml"], "none.toml: No such file or directory"),
    (["--budget", "0"], "budget must be a whole number from 1 to 31, but got 0"),
    (["--budget", "32"], "budget must be a whole number from 1 to 31, but got 32"),
    (["--seeds", "0"], "seeds must be a whole number from 1 to 10,000, but got 0"),
    (["--seed", "-1"], "seed must be a whole number from 0 to"),
    (["--workers", "0"], "workers must be a whole number from 1 to 1,000, but got 0"),
    (["--top-share", "0"], "top_share must be above 0 and at most 1, but got 0.0"),
    (["--reward", "speed"], "--reward must be one of"),
    (["--warm-start", "lion"], "warm_start: tiny with 1 group cannot say 'lion'; of the zoo it can say"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], message: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {"--table": table, "--budget": "5", "--seeds": "2", "--workers": "1", "--out": str(tmp_path / "out")}
    given = usual | dict(zip(arguments[::2], arguments[1::2], strict=True))
    ended = run_here(capsys, "compare-controllers", *(text for pair in given.items() for text in pair))
    assert ended.code == 2
    assert message in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_controller_that_breaks_is_one_line_that_names_it(
    workers: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('description = "mine"\nalgorithm = "ppo"\n[settings]\nlearning_rate = 1e300\n', encoding="utf-8")
    usual = ("--controllers", str(mine), "--budget", "31", "--seeds", "2", "--workers", workers)
    ended = run_here(capsys, "compare-controllers", "--table", table, *usual)
    assert ended.code == 2
    assert re.search(
        r"error: \S+mine\.toml, seed [01]: The policy's \w+ (is|are) not finite: the learning rate", ended.err
    )
    assert len(ended.err.splitlines()) == 1


def test_ctrl_c_ends_all_processes_quietly(table: str) -> None:
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from neuropt.cli import main; sys.exit(main())"
    arguments = ("--table", table, "--controllers", "trpo", "--budget", "31", "--seeds", "10000", "--workers", "2")
    searching = subprocess.Popen(
        [sys.executable, "-c", code, "compare-controllers", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    children = Path(f"/proc/{searching.pid}/task/{searching.pid}/children")
    workers: list[int] = []
    deadline = time.monotonic() + 60
    while len(workers) < 3 and time.monotonic() < deadline:  # two and the resource tracker
        workers = [int(pid) for pid in children.read_text(encoding="ascii").split()]
        time.sleep(0.1)
    time.sleep(1.0)  # whatever they are at by then: importing on a busy machine, searching on an idle one
    os.killpg(searching.pid, signal.SIGINT)
    out, err = searching.communicate(timeout=60)
    assert searching.returncode == 130
    assert all(line.endswith(" searches") for line in err.splitlines()), err
    assert out == ""
    deadline = time.monotonic() + 20  # the tracker of shared memory ends a moment after the others
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
