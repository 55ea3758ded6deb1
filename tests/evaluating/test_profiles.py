"""Profiles are read whole, and an evaluation in another form comes to the same."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from neuropt.evaluating.config import PROFILES, EvaluationConfig, make_config, read_profile
from neuropt.evaluating.contenders import find_contender
from neuropt.evaluating.evaluate import evaluate
from neuropt.evaluating.grafting import MEMBERS, pair_name
from neuropt.evaluating.running import find_tasks
from neuropt.evaluating.tuning import first_rates
from neuropt.tasks import tasks


@pytest.mark.slow
@pytest.mark.parametrize("form", ["rows", "batched"])
def test_trials_and_seeds_that_train_together_come_to_what_they_come_to_alone(form: str) -> None:
    small: dict[str, Any] = {"seeds": 2, "tune_seeds": 1, "steps": 4, "trials": 5, "evaluations": 2}
    alone = evaluate(["adam", "momentum"], ["digits-conv"], **small)
    together = evaluate(["adam", "momentum"], ["digits-conv"], form=form, **small)
    for one, other in zip(alone.summary["rows"], together.summary["rows"], strict=True):
        assert one["optimizer"] == other["optimizer"]
        assert one["loss_median"] == pytest.approx(other["loss_median"], rel=1e-3)


@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_is_a_whole_configuration_of_known_names(name: str) -> None:
    config = make_config(read_profile(name))
    assert config.profile == name
    for text in config.optimizers:
        first_rates(config.trials, find_contender(text).axes)
    assert all(task.download is None for task in find_tasks(config))
    text = files("neuropt.evaluating").joinpath("profiles", f"{name}.toml").read_text()
    assert text.startswith("# "), "it says what it is for, and how long it takes"


def test_the_quick_profile_is_four_families_and_the_full_one_everything() -> None:
    quick, full = (find_tasks(make_config(read_profile(name))) for name in ("quick", "full"))
    assert len(quick) == len({task.family for task in quick}) == 4
    assert {task.name for task in full} == {name for name, task in tasks().items() if task.download is None}


def test_the_grafting_profile_holds_every_pair() -> None:
    assert set(read_profile("grafting")["optimizers"]) == {pair_name(m, d) for m in MEMBERS for d in MEMBERS}


def test_a_configuration_survives_toml() -> None:
    config = EvaluationConfig(
        ("adam", "g * exp(sign(g))"), ("digits-mlp",), ("constant", "cosine"), seeds=4, grid="paper"
    )
    assert EvaluationConfig(**tomllib.loads(config.to_toml())) == config


def test_what_is_given_goes_before_the_profile() -> None:
    found = evaluate(
        ["sgd"],
        ["wine-mlp"],
        profile="quick",
        seeds=2,
        tune_seeds=1,
        steps=3,
        trials=5,
        evaluations=2,
        executor="in-process",
    )
    assert [row.optimizer for row in found.rows] == ["sgd"]
    assert (found.config.profile, found.config.trials, found.config.consecutive) == ("quick", 5, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds = 'many'", "seeds must be a whole number of at least 1, but got 'many'"),
        ("sedes = 3", "has a field 'sedes' that an evaluation does not have"),
        ("seeds = ", "is no configuration of an evaluation"),
        ("optimizers = 'adam'\ntasks = ['digits-mlp']", "optimizers must be a list of names"),
        (
            "optimizers = ['adam']\ntasks = ['digits-mlp']\nconsecutive = 30",
            "consecutive must be at most evaluations = 20",
        ),
        (
            "optimizers = ['adam']\ntasks = ['digits-mlp']\ntrials = 4",
            "trials must be at least 5 to tune lr, but got 4",
        ),
        (
            "optimizers = ['adam']\ntasks = ['digits-mlp']\nreference = 'sgd'",
            "reference must be one of adam, but got 'sgd'",
        ),
        ("optimizers = ['adam']\ntasks = ['digits-mlp']\nform = 'fast'", "form must be one of usual, rows"),
    ],
)
def test_a_bad_profile_is_one_clear_line(tmp_path: Any, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        evaluate(profile=str(path)) if "optimizers" in text else evaluate(["adam"], ["digits-mlp"], profile=str(path))


def test_there_is_no_such_profile() -> None:
    with pytest.raises(
        ValueError, match="profile must be one of quick, full, grafting, or a TOML file, but got 'quik'"
    ):
        evaluate(profile="quik")
