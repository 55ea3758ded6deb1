"""The form of a task is measured once, remembered by what it depends on, and never one that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from neuropt.tasks.task import Task
from neuropt.training.choosing import Timing, Timings, choose_form, least_costly, measure
from neuropt.training.devices import CPU
from neuropt.training.form_cache import FormCache, cache_key
from neuropt.training.forms import possible_forms
from tests.training.small_models import CLASSES, ROWS, family, task_of

STEPS = 10


def test_the_least_costly_form_is_the_one_that_ends_first() -> None:
    timings: Timings = {"plain": Timing(0.0, 1.0), "rows": Timing(0.0, 0.9), "compiled": Timing(30.0, 0.5)}
    # 10 steps: 10, 9 and 35 s; 1,000 steps: 1,000, 900 and 530 s
    assert (least_costly(timings, 10), least_costly(timings, 1_000)) == ("rows", "compiled")


def test_a_small_saving_does_not_replace_a_simpler_form() -> None:
    assert least_costly({"batched": Timing(0.0, 0.98), "rows": Timing(0.0, 1.0)}, STEPS) == "rows"
    assert least_costly({"batched": Timing(0.0, 0.96), "rows": Timing(0.0, 1.0)}, STEPS) == "batched"


def test_a_choice_is_the_least_costly_of_what_was_timed(tmp_path: Path) -> None:
    task, data = family("conv")
    choice = choose_form(task, data, 3, STEPS, cache=FormCache(tmp_path / "forms.json"))
    assert tuple(choice.timings) == tuple(form for form in possible_forms(task, data) if form != "compiled")
    assert choice.form == least_costly(choice.timings, STEPS)
    assert str(choice).startswith(f"form {choice.form} (a step of 3 children: plain ")


def test_a_second_choice_is_remembered_and_not_measured(tmp_path: Path) -> None:
    task, data = family("conv")
    cache = FormCache(tmp_path / "forms.json")
    key = cache_key(task, data, 3, CPU, "float32")
    choose_form(task, data, 3, STEPS, cache=cache)
    cache.put(key, cache.get(key) | {"batched": [0.0, 0.0]})  # no measurement finds 0 s
    assert choose_form(task, data, 3, STEPS, cache=cache).form == "batched"
    assert choose_form(task, data, 2, STEPS, cache=cache).timings["batched"] != Timing(0.0, 0.0)


def test_what_a_measurement_depends_on_is_in_its_key() -> None:
    task, data = family("conv")
    other, other_data = family("batch-norm")
    keys = {
        cache_key(task, data, 3, CPU, "float32"),
        cache_key(task, data, 4, CPU, "float32"),
        cache_key(task, data, 3, CPU, "bf16"),
        cache_key(replace(task, name="another"), data, 3, CPU, "float32"),
        cache_key(replace(task, batch_size=4), data, 3, CPU, "float32"),
        cache_key(replace(other, name=task.name), other_data, 3, CPU, "float32"),
    }
    assert len(keys) == 6
    assert all(f"torch {torch.__version__}" in key for key in keys)
    assert cache_key(task.with_budget(50), data, 3, CPU, "float32") in keys


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"k": 3}', '{"k": {"plain": "slow"}}', '{"k": {"plain": [true, "x"]}}', "[" * 100_000],
)
def test_a_damaged_cache_counts_for_nothing_and_is_written_anew(tmp_path: Path, text: str) -> None:
    task, data = family("mlp")
    path = tmp_path / "forms.json"
    path.write_text(text.replace("k", cache_key(task, data, 1, CPU, "float32")), encoding="utf-8")
    choose_form(task, data, 1, STEPS, cache=FormCache(path))
    (entry,) = json.loads(path.read_text(encoding="utf-8")).values()
    assert set(entry) == {"plain", "rows", "batched"}


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    task, data = family("mlp")
    assert choose_form(task, data, 1, STEPS, cache=FormCache(tmp_path / "file" / "forms.json")).form in possible_forms(
        task, data
    )


class _Deciding(nn.Linear):
    """Looks at a number, which vmap refuses."""

    def __init__(self) -> None:
        super().__init__(12, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        logits = super().forward(input)
        return logits if float(logits.detach().sum()) > 0 else 2 * logits


class _Counting(nn.Linear):
    """Says something else in each pass, whoever asks: no two forms have the same losses."""

    passes = 0

    def __init__(self) -> None:
        super().__init__(12, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        _Counting.passes += 1
        return super().forward(input) * (_Counting.passes % 7)


def _measured(model: type[nn.Module], tmp_path: Path) -> tuple[Task, Timings]:
    task = task_of("odd", model, ROWS)
    choice = choose_form(task, ROWS, 2, STEPS, cache=FormCache(tmp_path / "forms.json"))
    return task, choice.timings


def test_a_form_that_raises_is_not_chosen_and_the_reason_is_kept(tmp_path: Path) -> None:
    task, timings = _measured(_Deciding, tmp_path)
    assert isinstance(timings["batched"], str)
    assert timings["batched"].startswith("RuntimeError: vmap:")
    assert isinstance(timings["rows"], Timing)
    choice = choose_form(task, ROWS, 2, STEPS, cache=FormCache(tmp_path / "forms.json"))
    assert choice.timings["batched"] == timings["batched"]
    assert "batched not possible" in str(choice)


def test_a_form_whose_losses_are_others_is_not_chosen(tmp_path: Path) -> None:
    _, timings = _measured(_Counting, tmp_path)
    assert timings["rows"] == timings["batched"] == "its losses are not those of the plain form"


@pytest.mark.slow
def test_compiling_is_timed_with_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()  # what other tests compiled would be found again
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    task, data = family("conv")
    compiled = measure(task, data, ["plain", "compiled"], 2)["compiled"]
    assert isinstance(compiled, Timing)
    assert compiled.first > 10 * compiled.step
