from __future__ import annotations

import dataclasses
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from controllers import (
    PPO,
    PPOSettings,
    RandomSearch,
    Reinforce,
    ReinforceSettings,
    create_controller,
    list_presets,
    load_preset,
)
from tests.controllers.small_space import SmallSpace

PRESETS = ["bello2017", "ppo", "random", "reinforce"]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_preset_has_a_line_and_makes_its_controller() -> None:
    presets = list_presets()
    assert list(presets) == PRESETS
    assert all(line and "\n" not in line for line in presets.values())
    made = [type(create_controller(name, SmallSpace(), seed=1)) for name in PRESETS]
    assert made == [PPO, PPO, RandomSearch, Reinforce]


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_is_explained_beside_it(name: str) -> None:
    text = files("controllers").joinpath("presets", f"{name}.toml").read_text()
    for line in text[text.index("[settings]") :].splitlines()[1:]:
        assert re.fullmatch(r"\w+ = [^#]+ # .{10,}", line), line


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_that_differs_from_its_default_is_written_out(name: str) -> None:
    settings = load_preset(name).settings
    written = tomllib.loads(files("controllers").joinpath("presets", f"{name}.toml").read_text())["settings"]
    for field in dataclasses.fields(settings):
        assert field.name in written or getattr(settings, field.name) == field.default


def test_the_default_presets_are_the_default_settings() -> None:
    assert load_preset("ppo").settings == PPOSettings()
    assert load_preset("reinforce").settings == ReinforceSettings()


def test_bello2017_has_the_numbers_of_the_paper() -> None:
    settings = load_preset("bello2017").settings
    assert isinstance(settings, PPOSettings)
    assert (settings.learning_rate, settings.batch_size, settings.entropy_weight) == (1e-5, 5, 0.0015)
    assert (settings.advantages, settings.hidden, settings.initial_range) == ("baseline", 150, 0.08)


def test_a_file_of_ones_own_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, 'description = "mine"\nalgorithm = "ppo"\n[settings]\nepochs = 2\nclip = 1\n')
    preset = load_preset(path, {"duplicates": "skip"})
    assert preset.description == "mine"
    assert preset.settings == PPOSettings(epochs=2, clip=1.0, duplicates="skip")
    assert isinstance(create_controller(str(path), SmallSpace(), seed=1), PPO)


def test_an_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"'pro': must be one of bello2017, ppo, random, reinforce, or a path"):
        create_controller("pro", SmallSpace(), seed=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        load_preset(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm =", "not valid TOML"),
        ('algorithm = "ppo"', "description is None, but must be one line of text"),
        ('description = "x"\nalgorithm = "evolve"', "algorithm is 'evolve', but must be one of ppo, reinforce, random"),
        ('description = "x"\nalgorithm = 3', "algorithm is 3, but must be one of"),
        ('description = "x"\nalgorithm = "ppo"\nsettings = 1', r"settings is 1, but must be a table"),
        ('description = "x"\nalgorithm = "ppo"\nsetting = 1', "unknown field 'setting', must be one of description"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"mine\.toml: {message}"):
        load_preset(write(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lr = 1e-3", r"unknown field 'lr', must be one of learning_rate, batch_size"),
        ('learning_rate = "fast"', "learning_rate is 'fast', but must be a number"),
        ("learning_rate = true", "learning_rate is True, but must be a number"),
        ("learning_rate = 0", r"PPOSettings\(learning_rate=0\.0\): must be a positive number"),
        ("learning_rate = nan", r"PPOSettings\(learning_rate=nan\): must be a positive number"),
        ("batch_size = 2.5", "batch_size is 2.5, but must be a whole number"),
        ("batch_size = 1", r"PPOSettings\(batch_size=1\): must be a whole number of at least 2"),
        ("entropy_weight = -1", "must be 0 or a positive number"),
        ('advantages = "best"', r"advantages='best'\): must be one of rank, z-score, baseline"),
        ("advantages = 4", "advantages is 4, but must be one of rank, z-score, baseline"),
        ('duplicates = "drop"', r"duplicates='drop'\): must be one of floor, skip, paid"),
        ("baseline_decay = 1", r"must be in \[0, 1\)"),
        ("worst_reward = inf", r"worst_reward=inf\): must be a finite number"),
        ("gradient_clip = 0", "must be a positive number"),
        ("hidden = 0", r"hidden=0\)"),
        ("embedding = 0", r"embedding=0\)"),
        ("initial_range = 0", r"initial_range=0\.0\)"),
        ("max_outstanding = 3", r"max_outstanding=3\): must be at least batch_size"),
        ("epochs = 0", r"epochs=0\)"),
        ("clip = 0", r"clip=0\.0\)"),
    ],
)
def test_a_wrong_setting_names_the_field_what_it_got_and_what_is_valid(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f'description = "x"\nalgorithm = "ppo"\n[settings]\n{line}\n')
    with pytest.raises(ValueError, match=rf"mine\.toml.*{message}"):
        load_preset(path)


def test_a_wrong_override_is_refused() -> None:
    with pytest.raises(ValueError, match=r"controller 'random', .*unknown field 'duplicates', must be one of max_"):
        load_preset("random", {"duplicates": "skip"})
