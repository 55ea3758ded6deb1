from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import Ended, run_here

TINY = ("--space", "tiny", "--groups", "1", "--executor", "in-process", "--steps", "20", "--rules-per-trial", "5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small search in runs/small."""
    folder = tmp_path_factory.mktemp("searched")
    command = [sys.executable, "-m", "neuropt", "search", *TINY, "--rules", "8", "--finalists", "1"]
    command += ["--finalist-seeds", "2", "--run", "runs/small"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (folder / "said.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_a_search_shows_its_progress_and_what_to_do_next(here: Path) -> None:
    said = (here / "said.txt").read_text(encoding="utf-8")
    assert "8/8 rules" in said
    assert "adam" in said, "the table of finalists has the built-ins beside them"
    assert "neuropt top runs/small" in said
    assert "\x1b" not in said, "no colours where there is no terminal"


def test_the_rule_to_take_stands_highest_among_the_finalists_and_not_in_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    on_table = ("--space", "icml2017", "--groups", "1", "--task", "table:icml2017-digits-mlp", "--rules", "60")
    proposed = {}
    for finalists in ("0", "3"):
        said = run_here(capsys, "search", *on_table, "--finalists", finalists, "--run", f"runs/of{finalists}").out
        (proposed[finalists],) = re.findall(r"neuropt export (\S+) ", said)
    assert proposed["0"] == "runs/of0:1", "without finalists, the reward is all there is"
    highest = re.findall(r"^ *\d+ +of3:(\d)\*", said, re.MULTILINE)  # rows of the table, the best first
    assert len(highest) == 3
    assert highest[0] != "1", "on this seed the rule with the highest reward does not stand highest"
    assert proposed["3"] == f"runs/of3:{highest[0]}"


def test_a_run_is_found_by_its_path_and_by_its_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by_path, by_name = (json.loads(run_here(capsys, "top", run, "--json").out) for run in ("runs/small", "small"))
    assert by_path == by_name
    assert [row["position"] for row in by_path] == list(range(1, 9))
    assert len(run_here(capsys, "top", "small", "-n", "3").out.splitlines()) == 4


def test_the_best_rule_is_shown_and_exported(here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (best,) = json.loads(run_here(capsys, "top", "small", "-n", "1", "--json").out)
    shown = json.loads(run_here(capsys, "show", "small:1", "--json").out)
    assert (shown["name"], shown["text"]) == ("small:1", best["rule"])
    exported = run_here(capsys, "export", "runs/small:1", "--to", "json", "-o", str(tmp_path / "best.json"))
    assert exported.code == 0
    provenance = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))["provenance"]
    assert (provenance["run"], provenance["task"], provenance["seed"]) == ("small:1", "digits-mlp", 0)
    assert provenance["reward"] == best["reward"]
    assert provenance["summary"].startswith("finalist: validation accuracy 0.")
    assert re.search(r"n = 2 fresh seeds; the best tuned built-in, \w+: 0\.\d{4}, 0\.\d{4}$", provenance["summary"])


@pytest.mark.parametrize("position", ["0", "9", "99999999"])
def test_a_position_out_of_range_is_refused(here: Path, position: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "show", f"small:{position}")
    assert ended == Ended(2, "", f"neuropt show: error: small:{position} does not exist: runs/small has rules 1 to 8\n")


@pytest.mark.parametrize("position", ["best", "", "-1", "1.5"])
def test_a_position_that_is_no_number_is_refused(here: Path, position: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run_here(capsys, "show", f"small:{position}")
    said = f"neuropt show: error: 'small:{position}' is no rule: those of a run are RUN:1, the best, RUN:2 and so on\n"
    assert ended == Ended(2, "", said)


def test_a_run_is_not_begun_twice_but_may_be_resumed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = run_here(capsys, "search", *TINY, "--run", "runs/small")
    assert again.code == 2
    assert "runs/small is not empty; go on with it by --resume" in again.err
    resumed = run_here(capsys, "search", "--run", "runs/small", "--resume")
    assert resumed.code == 0
    assert "adam" in resumed.out, "a finished run shows its table again"


def test_a_run_of_this_process_goes_on_on_ray_where_that_is_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resume = ("search", "--run", str(tmp_path / "run"), "--resume", "--address", "127.0.0.1:1")
    begun = run_here(capsys, "search", *TINY, "--rules", "2", "--finalists", "0", "--run", str(tmp_path / "run"))
    assert begun.code == 0
    for typed in (("--executor", "tune"), ("--executor=tune",)):  # tune is the default, too
        assert "nothing answers at address '127.0.0.1:1'" in run_here(capsys, *resume, *typed).err
    assert "address needs executor tune, but got executor in-process" in run_here(capsys, *resume).err
    workers = run_here(capsys, *resume[:-2], "--workers", "2")
    assert "workers needs executor tune, but got executor in-process" in workers.err


def test_a_damaged_ledger_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 100)
    ended = run_here(capsys, "top", str(tmp_path))
    assert ended.code == 2
    assert "ledger.sqlite is not a ledger, or is damaged" in ended.err


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "neuropt",
        "search",
        *TINY,
        "--space",
        "icml2017",
        "--rules",
        "9999",
        "--run",
        "cut",
    ]
    # a shell's background jobs, and so their children, ignore Ctrl-C unless told otherwise
    search = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert search.stdout is not None
        assert "icml2017" in search.stdout.readline()  # it has begun
        search.send_signal(signal.SIGINT)
        _, said = search.communicate(timeout=60)
    finally:
        search.kill()
    assert search.returncode == 130
    assert said.strip() == "interrupted; go on with: neuropt search --resume --run cut"
