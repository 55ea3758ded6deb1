from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neuropt.config import SearchConfig, read_config
from neuropt.searching.ledger import open_ledger
from neuropt.searching.ledger_file import LedgerError
from neuropt.searching.run_folder import LEDGER, RunError, best_rules, find_run
from neuropt.searching.search import run_search
from neuropt.searching.training_source import TrainingSource
from neuropt.searching.trial_size import trial_size
from tests.searching.searches import contents

CONFIG = SearchConfig(
    space="icml2017", rules=6, rules_per_trial=3, steps=12, finalists=1, finalist_seeds=2, executor="in-process"
)


def test_a_run_leaves_its_configuration_rules_and_finalists(tmp_path: Path) -> None:
    folder = run_search(CONFIG, tmp_path / "run")
    assert read_config(folder / "config.toml") == replace(CONFIG, reward="accuracy")  # what the task has
    assert [rule.position for rule in best_rules(folder, 10)] == [1, 2, 3, 4, 5, 6]
    assert find_run(str(folder)) == folder


def test_a_space_keeps_its_own_number_of_groups_unless_told(tmp_path: Path) -> None:
    one = run_search(replace(CONFIG, finalists=0), tmp_path / "one")
    two = run_search(replace(CONFIG, finalists=0, groups=2), tmp_path / "two")
    assert max(len(rule.rule) for rule in best_rules(two, 6)) > max(len(rule.rule) for rule in best_rules(one, 6))


def test_a_folder_with_anything_in_it_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="is not empty"):
        run_search(CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_run_killed_before_its_ledger_was_made_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG.to_toml(), encoding="utf-8")
    (tmp_path / "ledger.sqlite").touch()
    assert len(best_rules(run_search(CONFIG, tmp_path, resume=True), 10)) == CONFIG.rules


def test_a_run_of_ray_goes_on_in_this_process_which_has_no_limits(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        replace(CONFIG, executor="tune", child_seconds=60, child_memory=0.5, finalists=0).to_toml(), encoding="utf-8"
    )
    run_search(SearchConfig(executor="in-process"), tmp_path, resume=True)
    assert len(best_rules(tmp_path, 10)) == CONFIG.rules


def test_other_data_are_noticed_on_resume(tmp_path: Path) -> None:
    folder = run_search(CONFIG, tmp_path / "run")
    (folder / "config.toml").write_text(replace(CONFIG, seed=1).to_toml(), encoding="utf-8")
    with pytest.raises(LedgerError, match="weights_sha256"):
        run_search(CONFIG, folder, resume=True)


def test_children_of_a_convolution_cannot_be_batched(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batched yes needs a task whose model is an MLP"):
        run_search(replace(CONFIG, task="mnist-lenet", batched="yes"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "values",
    [
        {"space": 3},
        {"task": None},
        {"halving": "no"},
        {"deterministic": 1},
        {"data_dir": 5},
        {"rules": True},
        {"seed": -1},
        {"child_seconds": "short"},
        {"child_seconds": 0.0},
        {"child_memory": float("nan")},
        {"child_memory": 1, "executor": "in-process"},
        {"rules_per_trial": "many"},
        {"rules_per_trial": 0},
        {"rules_per_trial": "auto", "deterministic": True},
        {"cpus_per_child": 1.5},
        {"gpus_per_child": -1.0},
        {"gpus_per_child": 0.5, "executor": "in-process"},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        SearchConfig(**values)  # type: ignore[arg-type]  # wrong on purpose


def test_what_a_controller_learns_does_not_depend_on_the_threads_of_its_process(tmp_path: Path) -> None:
    found = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            run = run_search(replace(CONFIG, rules=150, rules_per_trial=15, finalists=0), tmp_path / str(threads))
            assert torch.get_num_threads() == threads, "as it was"
        finally:
            torch.set_num_threads(before)
        with closing(open_ledger(run / LEDGER)) as ledger:
            found.append(contents(ledger))
    assert found[0]["updates"] == found[1]["updates"]
    assert found[0] == found[1]


def test_auto_rules_per_trial_is_measured_once_and_recorded(tmp_path: Path) -> None:
    folder = run_search(replace(CONFIG, rules_per_trial="auto", deterministic=False, rules=24), tmp_path / "run")
    chosen = read_config(folder / "config.toml").rules_per_trial
    assert isinstance(chosen, int), "a search that goes on does not measure again"
    assert 1 <= chosen <= 3, "every worker gets some trials"


@pytest.mark.parametrize(
    ("seconds", "rules", "workers", "expected"),
    [
        (0.05, 2_000, 2, 20),  # 0.03 s is 3 % of 1 s, which is 20 rules
        (0.1, 2_000, 2, 10),
        (2.0, 2_000, 2, 1),
        (0.0, 10**6, 2, 200),  # the most
        (0.05, 40, 2, 5),  # four trials for each of two workers
        (0.05, 3, 8, 1),
    ],
)
def test_a_trial_is_as_long_as_makes_its_cost_small(seconds: float, rules: int, workers: int, expected: int) -> None:
    assert trial_size(seconds, rules, workers) == expected


def test_a_share_of_a_gpu_that_children_would_not_use_is_said() -> None:
    said = TrainingSource(SearchConfig(gpus_per_child=0.25))
    unused = ", on CPUs (of the 0.25 GPU of each trial nothing is used; a GPU trains with --device cuda)"
    assert said.manner(said.config) == unused
    assert said.manner(SearchConfig(gpus_per_child=0.25, device="cuda")) == ", cuda, 0.25 GPU a trial"
    assert said.manner(SearchConfig(device="cuda")) == ", cuda, 1 GPU a trial", "as Ray's own trainers take"
    assert said.manner(SearchConfig()) == ""
