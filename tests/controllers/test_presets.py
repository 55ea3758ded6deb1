from __future__ import annotations

import dataclasses
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from controllers import (
    DEFAULT_PRESET,
    PPO,
    TRPO,
    Evolution,
    EvolutionSettings,
    PolicySettings,
    PPOSettings,
    RandomSearch,
    Reinforce,
    ReinforceSettings,
    TreeSearch,
    TreeSettings,
    TRPOSettings,
    create_controller,
    list_presets,
    load_preset,
)
from neuropt import SearchConfig
from tests.controllers.small_space import SmallSpace

PRESETS = ["bello2017", "bello2017-trpo", "evolution", "ppo", "ppo-mutants", "random", "reinforce", "tree", "trpo"]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_every_preset_has_a_line_and_makes_its_controller() -> None:
    presets = list_presets()
    assert list(presets) == PRESETS
    assert all(line and "\n" not in line for line in presets.values())
    made = [type(create_controller(name, SmallSpace(), seed=1)) for name in PRESETS]
    assert made == [PPO, TRPO, Evolution, PPO, PPO, RandomSearch, Reinforce, TreeSearch, TRPO]


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
    assert load_preset("trpo").settings == TRPOSettings()
    assert load_preset("evolution").settings == EvolutionSettings()
    assert load_preset("tree").settings == TreeSettings()


def test_the_default_search_has_the_default_preset() -> None:
    assert SearchConfig().controller == DEFAULT_PRESET
    assert load_preset(DEFAULT_PRESET).description.endswith("(the default)")
    assert sum(description.endswith("(the default)") for description in list_presets().values()) == 1


def test_bello2017_has_the_numbers_of_the_paper() -> None:
    settings = load_preset("bello2017").settings
    assert isinstance(settings, PPOSettings)
    assert (settings.learning_rate, settings.batch_size, settings.entropy_weight) == (1e-5, 5, 0.0015)
    assert (settings.advantages, settings.hidden, settings.initial_range) == ("baseline", 150, 0.08)


def test_bello2017_trpo_is_the_same_but_for_the_algorithm() -> None:
    trpo, ppo = (dataclasses.asdict(load_preset(name).settings) for name in ("bello2017-trpo", "bello2017"))
    shared = {field.name for field in dataclasses.fields(PolicySettings)}
    assert {name: trpo[name] for name in shared} == {name: ppo[name] for name in shared}
    # the TRPO paper's delta and iterations
    assert (trpo["kl_bound"], trpo["iterations"]) == (0.01, 10)


def test_a_file_of_ones_own_and_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, 'description = "mine"\nalgorithm = "ppo"\n[settings]\nepochs = 2\nclip = 1\n')
    preset = load_preset(path, {"duplicates": "skip"})
    assert preset.description == "mine"
    assert preset.settings == PPOSettings(epochs=2, clip=1.0, duplicates="skip")
    assert isinstance(create_controller(str(path), SmallSpace(), seed=1), PPO)


def test_an_unknown_name_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(
        ValueError,
        match=r"'pro': must be one of bello2017, bello2017-trpo, evolution, .*trpo, a path that ends in .toml, or FILE.py:NAME",
    ):
        create_controller("pro", SmallSpace(), seed=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        load_preset(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm =", "not valid TOML"),
        ('algorithm = "ppo"', "description is None, but must be one line of text"),
        (
            'description = "x"\nalgorithm = "evolve"',
            "algorithm is 'evolve', but must be one of ppo, reinforce, trpo, evolution, tree, random",
        ),
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
        ("lr = 1e-3", r"unknown field 'lr', must be one of batch_size, entropy_weight"),
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
        ("top_share = 0", r"top_share=0\.0\): must be in \(0, 1\]"),
        ("queue_size = -1", r"queue_size=-1\): must be a whole number from 0 to 1000"),
        ("queue_weight = -1", r"queue_weight=-1\.0\)"),
        ("mutant_population = 1", r"mutant_population=1\): must be a whole number from 2 to 100000"),
        ("mutant_tournament = 0", r"mutant_tournament=0\): must be a whole number from 1 to 100000"),
        ("mutant_crossover = 2", r"mutant_crossover=2\.0\): must be in \[0, 1\]"),
        ("redraws = -1", r"redraws=-1\): must be a whole number from 0 to 100"),
    ],
)
def test_a_wrong_setting_names_the_field_what_it_got_and_what_is_valid(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f'description = "x"\nalgorithm = "ppo"\n[settings]\n{line}\n')
    with pytest.raises(ValueError, match=rf"mine\.toml.*{message}"):
        load_preset(path)


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("trpo", "learning_rate", 1e-3, "unknown field 'learning_rate'"),
        ("trpo", "kl_bound", 0, r"TRPOSettings\(kl_bound=0\.0\): must be a positive number"),
        ("trpo", "iterations", 0, r"iterations=0\)"),
        ("trpo", "damping", 0, r"damping=0\.0\)"),
        ("trpo", "backtracks", -1, r"backtracks=-1\)"),
        ("trpo", "backtrack", 1, r"backtrack=1\.0\): must be in \(0, 1\)"),
        ("evolution", "population", 1, r"population=1\): must be a whole number from 2 to 100000"),
        ("evolution", "tournament", 0, r"tournament=0\)"),
        ("evolution", "mutation", 1.5, r"mutation=1\.5\): must be in \[0, 1\]"),
        ("evolution", "crossover", -1, r"crossover=-1\.0\): must be in \[0, 1\]"),
        ("evolution", "duplicates", "drop", r"must be one of floor, skip, paid"),
        ("evolution", "worst_reward", float("nan"), r"worst_reward=nan\): must be a finite number"),
        ("evolution", "memory", -1, r"memory=-1\)"),
        ("evolution", "max_outstanding", 0, r"max_outstanding=0\)"),
        ("tree", "exploration", -1, r"exploration=-1\.0\)"),
        ("tree", "rank_power", 0, r"rank_power=0\.0\)"),
        ("tree", "duplicates", "drop", r"must be one of floor, skip, paid"),
        ("tree", "max_nodes", 0, r"max_nodes=0\): must be a whole number from 1 to 1000000"),
        ("tree", "max_outstanding", 0, r"max_outstanding=0\)"),
        ("random", "max_outstanding", 0, r"max_outstanding=0\)"),
    ],
)
def test_a_wrong_setting_of_another_algorithm(name: str, field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_preset(name, {field: value})


def test_a_wrong_override_is_refused() -> None:
    with pytest.raises(ValueError, match=r"controller 'random', .*unknown field 'duplicates', must be one of max_"):
        load_preset("random", {"duplicates": "skip"})
