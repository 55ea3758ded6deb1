"""Curves in W&B and MLflow. They are extras: what needs them is skipped where they are not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from neuropt.config import TRACKED, SearchConfig
from neuropt.searching.search import run_search
from neuropt.searching.tune_executor import TuneExecutor
from tests.searching.searches import SMALL

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own warnings, and those of others, are not ours to fix

INSTALLED = {name: importlib.util.find_spec(name) is not None for name in TRACKED}
SEARCH = ["search", "--space", "icml2017", "--groups", "1", "--steps", "12"]
TUNED = replace(SMALL, executor="tune", workers=2, rules=12)


@pytest.mark.parametrize("name", TRACKED)
def test_a_library_that_is_not_installed_is_named_before_anything_starts(name: str, tmp_path: Path) -> None:
    hidden = f"import sys; sys.modules[{name!r}] = None; from neuropt.cli import main; sys.exit(main())"
    arguments = [*SEARCH, "--run", str(tmp_path / "run"), f"--{name}", "mine"]
    ended = subprocess.run([sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (f"neuropt search: error: {name} mine needs the library of that name: pip install {name}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", TRACKED)
def test_tracking_needs_tune(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} needs executor tune"):
        SearchConfig(executor="in-process", **{name: "mine"})  # type: ignore[arg-type]  # a name
    with pytest.raises(ValueError, match=f"{name} goes through Ray Tune, which table:icml2017-digits-mlp does not use"):
        run_search(SearchConfig(task="table:icml2017-digits-mlp", **{name: "mine"}))  # type: ignore[arg-type]  # a name


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED["mlflow"], reason="needs mlflow: pip install mlflow")
def test_curves_and_configuration_are_in_mlflow(executor: TuneExecutor, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]  # an extra

    run_search(replace(TUNED, mlflow=str(tmp_path / "curves")), tmp_path / "run")
    client = MlflowClient((tmp_path / "curves").as_uri())
    experiment = client.get_experiment_by_name("neuropt")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["rules"]) == ("run", "FINISHED", "12")
    best = client.get_metric_history(run.info.run_id, "reward/best_so_far")
    assert [point.step for point in best] == [6, 12]
    assert best[-1].value == max(point.value for point in best) > 0.0


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED["mlflow"], reason="needs mlflow: pip install mlflow")
def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^mlflow http://127\.0\.0\.1:9 cannot be used: [^\n]*$"):
        run_search(replace(TUNED, mlflow="http://127.0.0.1:9"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED["wandb"], reason="needs wandb: pip install wandb")
def test_curves_are_in_wandb(tmp_path: Path) -> None:
    """In a process of its own: Ray's workers take the environment that Ray was started in."""
    script = "import os, sys; os.environ['WANDB_MODE'] = 'offline'; from neuropt.cli import main; sys.exit(main())"
    arguments = ["--rules", "12", "--rules-per-trial", "6", "--finalists", "0", "--workers", "1", "--wandb", "mine"]
    command = [sys.executable, "-c", script, *SEARCH, "--run", str(tmp_path / "run"), *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (log,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    content = log.read_bytes()
    assert b"reward/best_so_far" in content
    assert b"icml2017" in content


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED["wandb"], reason="needs wandb: pip install wandb")
def test_a_missing_key_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(ValueError, match=r"^wandb mine cannot be used: No WandB API key found[^\n]*$"):
        run_search(replace(TUNED, wandb="mine"), tmp_path / "run")
