"""Tasks of one's own: from a file, by registration, and what is said of faulty ones."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neuropt.config import SearchConfig, read_config
from neuropt.evaluating.evaluate import evaluate
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.run_folder import best_rules
from neuropt.searching.search import run_search
from neuropt.tasks import (
    MLP,
    Split,
    Task,
    TaskData,
    cross_entropy,
    get_task,
    load_task_data,
    merit,
    register_task,
    squared_error,
)
from tests.cli.running import run_here

FILE = """
import torch
from torch import nn

from neuropt import Split, Task, TaskData
from neuropt.tasks import squared_error


def load(data_dir):
    x = torch.rand(120, 2, generator=torch.Generator().manual_seed(0))
    y = torch.sin(6 * x[:, :1]) * x[:, 1:]
    return TaskData.of(*(Split(x[a:b], y[a:b]) for a, b in ((0, 80), (80, 100), (100, 120))))


def network():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


surface = Task(
    "surface", "a made-up surface", "tabular", load, network, batch_size=16, steps=12, metric="loss", loss=squared_error, target=0.1
)
number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "task.py"
    path.parent.mkdir()
    path.write_text(FILE)
    return path


def small_search(file: Path, **changes: Any) -> SearchConfig:
    given: dict[str, Any] = {
        "space": "tiny", "groups": 1, "rules": 2, "finalists": 0, "executor": "in-process", "controller": "random", "form": "plain",
    }  # fmt: skip
    return SearchConfig(task=f"{file}:surface", **(given | changes))


def test_a_task_of_a_file_is_loaded_and_keeps_where_it_is_from(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    task = get_task("task.py:surface")
    assert (task.name, task.metric, task.typed) == ("surface", "loss", f"{file}:surface")
    assert load_task_data(task) is load_task_data(get_task(f"{file}:surface"))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("other", FILE, r"task.py:other must be a neuropt.Task, but is missing; it has surface"),
        ("number", FILE, r"task.py:number must be a neuropt.Task, but is a int; it has surface"),
        ("surface", "1 / 0", r"task file .*task.py raised ZeroDivisionError: division by zero"),
        ("surface", "def", r"task file .*task.py raised SyntaxError"),
        ("surface", "\xff", r"task file .*task.py cannot be read: it is not UTF-8"),
    ],
)
def test_a_faulty_file_is_one_line(name: str, text: str, said: str, file: Path) -> None:
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=said) as caught:
        get_task(f"{file}:{name}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_and_one_without_a_name(file: Path) -> None:
    with pytest.raises(ValueError, match=r"task file .*none.py cannot be read: No such file"):
        get_task(f"{file.parent / 'none.py'}:surface")
    with pytest.raises(ValueError, match=r"must also say which task of the file is meant: .*task.py:NAME"):
        get_task(str(file))


def test_a_task_of_a_file_travels_as_its_text(file: Path) -> None:
    content = pickle.dumps(get_task(f"{file}:surface").with_budget(steps=5))
    file.unlink()
    script = (
        "import pickle, sys; task = pickle.loads(sys.stdin.buffer.read()); from neuropt.tasks import load_task_data;"
        "print(task.name, task.steps, task.typed, load_task_data(task).sha256)"
    )
    ended = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
    expected = load_task_data(pickle.loads(content)).sha256
    assert ended.stdout.decode().split() == ["surface", "5", f"{file}:surface", expected]


def test_the_listing_shows_a_file_s_task_with_its_hashes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = json.loads(run_here(capsys, "tasks", f"{file}:surface", "--json").out)
    assert (row["name"], row["train"], row["parameters"], row["target"]) == ("surface", 80, 33, 0.1)
    assert row["data_sha256"] == load_task_data(get_task(f"{file}:surface")).sha256
    assert f"data_sha256: {row['data_sha256']}" in run_here(capsys, "tasks", f"{file}:surface").out


def test_a_search_and_an_evaluation_take_it(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_search(small_search(file), tmp_path / "run")
    config = read_config(run / "config.toml")
    assert (config.task, config.reward) == (f"{file}:surface", "loss")
    (best, *_) = best_rules(run, 1)
    assert best.accuracy is None
    assert best.loss is not None
    monkeypatch.chdir(file.parent)
    said: list[str] = []
    found = evaluate(["sgd", f"{run}:1"], ["task.py:surface"], seeds=2, tune_seeds=1, progress=said.append)
    assert {row.optimizer: row.searched for row in found.rows} == {"sgd": False, "run:1": True}
    assert all(row.metric == "loss" and row.accuracy is None and row.loss is not None for row in found.rows)
    medians = [row.loss.median for row in found.rows if row.loss is not None]
    assert medians == sorted(medians), "the lowest loss first"
    assert said[0].startswith(f"surface: data {load_task_data(get_task('task.py:surface')).sha256[:12]}, weights ")
    assert len(found.facts["surface task_sha256"]) == 64


def test_a_file_that_has_changed_is_not_run_by_a_resumed_search(file: Path, tmp_path: Path) -> None:
    run = run_search(small_search(file), tmp_path / "run")
    ran = tmp_path / "ran"
    file.write_text(FILE + f"\nopen({str(ran)!r}, 'w').close()\n")
    with pytest.raises(LedgerError, match=r"task_sha256 was .*, but .*task.py now has .*, so it is not run"):
        run_search(SearchConfig(), run, resume=True)
    assert not ran.exists()
    run_search(SearchConfig(), run, resume=True, accept_changes=True)
    assert ran.exists()
    file.write_text(FILE)
    with pytest.raises(LedgerError, match="task_sha256 was"):
        run_search(SearchConfig(), run, resume=True)


# -- faults of models, data, losses and metrics ------------------------------------------------------------------------------------


def rows(count: int, first: int, inputs: int = 3) -> Split:
    numbers = torch.arange(first, first + count)
    return Split(numbers.float().unsqueeze(1).repeat(1, inputs), numbers % 2)


GOOD = TaskData.of(rows(20, 0), rows(6, 20), rows(6, 26))


def load_good(data_dir: Path | None) -> TaskData:
    return GOOD


def load_other_shapes(data_dir: Path | None) -> TaskData:
    return TaskData.of(rows(20, 0), rows(6, 20, inputs=2), rows(6, 26))


def load_third_class(data_dir: Path | None) -> TaskData:
    return TaskData.of(rows(20, 0), rows(6, 20), Split(torch.full((3, 3), 9.5), torch.tensor([0, 1, 2])))


def load_nothing(data_dir: Path | None) -> TaskData:
    return None  # type: ignore[return-value]  # the test is about this  # pyright: ignore[reportReturnType]


def not_a_number(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs, targets) * torch.nan


def one_each(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.sum(-1)


class Ahead(nn.Linear):
    def __init__(self) -> None:
        raise RuntimeError("no such file")


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": lambda: nn.Linear(4, 2)}, r"Task\(model=...\) of own cannot take inputs of shape \(20, 3\): RuntimeError"),
        ({"model": flat}, r"Task\(model=...\) of own must return one row of logits a target, shape \(8, 'classes'\), but got \(8,\)"),
        ({"model": nn.ReLU}, r"Task\(model=...\) of own must build a torch.nn.Module with parameters, but got ReLU"),
        ({"model": Ahead}, r"Task\(model=...\) of own cannot be built: RuntimeError: no such file"),
        ({"load": load_other_shapes}, r"TaskData\(validation=...\) must have inputs like those of train, .*\(n, 3\), but got .*\(n, 2\)"),
        ({"load": load_third_class}, r"TaskData\(test=...\) must have class numbers from 0 to 1, .* but has 0 to 2"),
        ({"load": load_nothing}, r"Task\(load=...\) of own must return a TaskData, but returned a NoneType"),
        ({"loss": not_a_number}, r"Task\(loss=...\) of own must be a finite number at the first weights, but is nan on train"),
        ({"loss": one_each}, r"Task\(loss=...\) of own must return one number, a tensor of shape \(\), but got shape \(8,\)"),
        ({"loss": squared_error}, r"Task\(loss=...\) of own cannot take outputs of shape \(8, 2\) and targets of shape \(8,\): ValueError"),
        ({"batch_size": 21}, r"Task\(batch_size=...\) must be at most the 20 training examples of own, but got 21"),
    ],
)  # fmt: skip
def test_a_task_that_cannot_be_trained_is_one_line(change: dict[str, Any], said: str) -> None:
    task = Task("own", "two classes", "toy", load_good, linear, batch_size=4, steps=5)
    load_task_data(task)
    with pytest.raises(ValueError, match=said) as caught:
        load_task_data(replace(task, **change))
    assert "\n" not in str(caught.value)


def load_numbers(data_dir: Path | None) -> TaskData:
    found = (Split(split.inputs, split.inputs[:, :1]) for split in (GOOD.train, GOOD.validation, GOOD.test))
    return TaskData.of(*found)


def test_accuracy_needs_class_numbers_and_an_mlp_cross_entropy() -> None:
    task = Task("own", "numbers", "toy", load_numbers, linear, batch_size=4, steps=5)
    with pytest.raises(
        ValueError, match=r"Task\(metric='accuracy'\) of own needs int64 class numbers as targets, but train"
    ):
        load_task_data(task)
    with pytest.raises(ValueError, match=r"Task\(loss=...\) must be cross_entropy for an MLP"):
        replace(task, model=MLP((3, 1)), loss=squared_error)
    with pytest.raises(ValueError, match=r"Task\(target=...\) must be a finite number or None, but got nan"):
        replace(task, target=float("nan"))


def test_a_reward_of_accuracy_needs_right_answers() -> None:
    said = "reward accuracy needs a task that has right answers, but rosenbrock has a loss alone"
    with pytest.raises(ValueError, match=said):
        evaluate(["sgd"], ["rosenbrock"], reward="accuracy")
    with pytest.raises(ValueError, match=said):
        run_search(SearchConfig(task="rosenbrock", reward="accuracy", executor="in-process"))


@pytest.mark.parametrize(("metric", "better", "worse"), [("accuracy", 0.9, 0.8), ("loss", 0.1, 0.2)])
def test_more_merit_is_better_and_a_target_is_reached_by_as_much(metric: Any, better: float, worse: float) -> None:
    task = Task("own", "two classes", "toy", load_good, linear, batch_size=4, steps=5, metric=metric, target=better)
    assert merit(metric, better) > merit(metric, worse)
    assert task.reaches(better)
    assert not task.reaches(worse)
    assert not task.reaches(float("nan"))
    with pytest.raises(ValueError, match=r"Task\(target=...\) of own is None"):
        replace(task, target=None).reaches(1.0)


def test_cross_entropy_of_places_is_the_mean_over_all_of_them() -> None:
    # two texts of three places: softmax of equal logits over four characters is 1/4 everywhere, so the mean is log 4
    targets = torch.tensor([[0, 1, 2], [3, 0, 1]])
    assert cross_entropy(torch.zeros(2, 3, 4), targets).item() == pytest.approx(torch.tensor(4.0).log().item())
    logits = torch.randn(5, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([nn.functional.cross_entropy(one.flatten(0, 1), targets.flatten()) for one in logits])
    torch.testing.assert_close(cross_entropy(logits, targets), alone)


def test_a_registered_task_is_searched_by_its_name(tmp_path: Path) -> None:
    register_task(Task("own-registered", "two classes", "toy", load_good, linear, batch_size=4, steps=5))
    run = run_search(replace(small_search(tmp_path), task="own-registered"), tmp_path / "run")
    assert read_config(run / "config.toml").reward == "accuracy"
    assert best_rules(run, 1)[0].accuracy is not None


def test_snapshots_of_what_has_no_probabilities_fail_with_the_reason() -> None:
    found = evaluate(["sgd"], ["rosenbrock"], schedule="snapshot", seeds=2, tune_seeds=1, steps=5)
    assert (
        found.rows[0].failure
        == "ValueError: schedule 'snapshot' averages probabilities, but rosenbrock has other outputs"
    )
