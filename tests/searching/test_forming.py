"""The form of a run: measured once, written to its configuration, followed on resume, never measured with `deterministic`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from neuropt.config import SearchConfig, read_config
from neuropt.searching.engine import child_seeds
from neuropt.searching.forming import with_form
from neuropt.searching.search import run_search
from neuropt.tasks import hash_tensors, initial_weights, register_task
from neuropt.tasks.registry import _registered
from neuropt.training.devices import CPU
from neuropt.training.form_cache import FormCache, cache_key
from neuropt.training.forms import Form
from neuropt.training.learning_rates import learning_rates
from tests.training.small_models import family

TASK, DATA = family("conv")
CONFIG = SearchConfig(task=TASK.name, rules=4, rules_per_trial=2, finalists=0, executor="in-process", space="icml2017")
CHILDREN = len(learning_rates(CONFIG.grid, 1.0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FormCache]:
    """A cache of the test's own, and the task."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    register_task(TASK)
    yield FormCache.of_user()
    del _registered[TASK.name]


def remember(cache: FormCache, form: Form) -> None:
    """Have the cache say that a form takes no time."""
    times: dict[str, str | list[float]] = {name: [1.0, 1.0] for name in ("plain", "rows", "channels-last", "batched")}
    cache.put(cache_key(TASK, DATA, CHILDREN, CPU, "float32"), times | {form: [0.0, 0.0]})


def shown(config: SearchConfig, folder: Path, resume: bool = False) -> str:
    """What a search prints."""
    text = io.StringIO()
    run_search(config, folder, resume=resume, console=Console(file=text, width=200))
    return text.getvalue()


def test_a_run_measures_says_and_keeps_its_form(tmp_path: Path, cache: FormCache) -> None:
    text = shown(CONFIG, tmp_path / "run")
    form = read_config(tmp_path / "run" / "config.toml").form
    assert form in ("plain", "rows", "channels-last", "batched")
    assert f"conv: form {form} (a step of 7 children: plain " in text
    weights = hash_tensors(*(initial_weights(TASK, seed) for seed in child_seeds(CONFIG)))
    assert f"(data {DATA.sha256[:12]}, weights {weights[:12]}), form {form}\n" in text
    (entry,) = json.loads(cache.path.read_text(encoding="utf-8")).values()
    assert set(entry) == {"plain", "rows", "channels-last", "batched"}


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ({"executor": "in-process"}, "batched"),  # one process does all steps
        ({"executor": "tune", "workers": 1}, "batched"),
        ({"executor": "tune", "workers": 8}, "plain"),
        ({"executor": "tune"}, "plain"),  # as many as there are CPUs
    ],
)
def test_a_form_pays_within_what_one_of_the_workers_trains(
    cache: FormCache, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], form: Form
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    seconds = 1e-6
    steps = CONFIG.rules * TASK.steps
    once = (
        0.5 * steps * seconds
    )  # as long as half of all steps in the plain form: it pays for one process, not for an eighth
    slow: dict[str, str | list[float]] = {name: [1.0, 1.0] for name in ("rows", "channels-last")}
    cache.put(cache_key(TASK, DATA, CHILDREN, CPU, "float32"), slow | {"plain": [0.0, seconds], "batched": [once, 0.0]})
    assert with_form(replace(CONFIG, **values), TASK, DATA).form == form


def test_a_resumed_run_follows_its_own_form_whatever_would_be_measured_now(tmp_path: Path, cache: FormCache) -> None:
    remember(cache, "batched")
    run_search(replace(CONFIG, rules=2), tmp_path / "run")
    remember(cache, "rows")
    path = tmp_path / "run" / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("rules = 2\n", "rules = 4\n"), encoding="utf-8")
    text = shown(SearchConfig(), tmp_path / "run", resume=True)
    assert "form batched\n" in text
    assert "a step of" not in text
    assert read_config(path).form == "batched"


def test_a_deterministic_run_measures_nothing(tmp_path: Path, cache: FormCache) -> None:
    remember(cache, "batched")
    text = shown(replace(CONFIG, deterministic=True), tmp_path / "run")
    assert "form plain\n" in text
    assert read_config(tmp_path / "run" / "config.toml").form == "auto"


@pytest.mark.parametrize("form", ["rows", "batched"])
def test_a_form_that_is_asked_for_is_taken(tmp_path: Path, form: Form) -> None:
    text = shown(replace(CONFIG, form=form, precision="bf16"), tmp_path / "run")
    assert f"form {form}, bf16\n" in text
    assert read_config(tmp_path / "run" / "config.toml").precision == "bf16"


def test_a_form_that_the_task_does_not_have_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form population cannot train conv"):
        run_search(replace(CONFIG, form="population"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"form": "fast"}, "form must be one of auto, population, plain, .*, but got 'fast'"),
        ({"precision": "fp8"}, "precision must be one of float32, bf16, but got 'fp8'"),
        ({"form": "rows", "batched": "yes"}, "form rows says how children are trained; leave out batched yes"),
        ({"batched": "yes", "precision": "bf16"}, "a population trains in float32 only"),
        (
            {"device": "cuda:1", "executor": "tune"},
            "device must be cpu or cuda with executor tune, .* but got 'cuda:1'",
        ),
        ({"device": "cuda", "executor": "tune", "gpus_per_child": 2.0}, "gpus_per_child must be at most 1 with device"),
        ({"device": "cuda", "executor": "tune", "rules_per_trial": "auto"}, "rules_per_trial must be a number with"),
        ({"device": "cuda", "deterministic": True}, "deterministic needs device cpu"),
        ({"rules_together": 0}, "rules_together must be a whole number of at least 1, but got 0"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **values)  # type: ignore[arg-type]  # wrong on purpose


def test_a_device_that_is_not_here_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device cuda:97 is not here"):
        run_search(replace(CONFIG, device="cuda:97"), tmp_path / "run")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device cuda is not here"):
            run_search(replace(CONFIG, device="cuda", executor="tune"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
