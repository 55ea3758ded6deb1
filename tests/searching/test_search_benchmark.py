import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "search.py"


def measure(*executors: str) -> dict[str, dict[str, Any]]:
    small = [
        "--space",
        "icml2017",
        "--groups",
        "1",
        "--rules",
        "24",
        "--rules-per-trial",
        "3",
        "--repeats",
        "1",
        "--json",
    ]
    command = [sys.executable, str(BENCHMARK), *small, "--executors", *executors]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: turns[0] for name, turns in json.loads(done.stdout).items()}


def assert_the_parts_make_the_whole(found: dict[str, dict[str, Any]]) -> None:
    """Whatever the machine does, the parts make the whole."""
    for measured in found.values():
        assert sum(measured["shares"].values()) == pytest.approx(1.0)
        assert all(-1e-6 <= share <= 1.0 for share in measured["shares"].values())
        assert sum(measured["wall"].values()) == pytest.approx(60e3 / measured["rules_a_minute"], rel=0.02)
        assert min(measured["processor"][part] for part in ("ask", "identity", "screen", "learn", "train")) > 0.0
    assert len({measured["rewards"] for measured in found.values()}) == 1, "all of them train the same rules"


def test_the_benchmark_of_a_search_accounts_for_all_of_its_time() -> None:
    assert_the_parts_make_the_whole(measure("in-process", "plain 1"))


@pytest.mark.slow
def test_the_benchmark_of_a_search_accounts_for_all_of_its_time_on_ray() -> None:
    assert_the_parts_make_the_whole(measure("plain 2", "tune 2"))
