"""Controllers by name: a preset is a TOML file that names an algorithm and its settings.

    description = "one line for a listing"
    algorithm = "ppo"

    [settings]           # fields of the algorithm's settings; what is left out keeps its default
    learning_rate = 3e-3

A user's own file works like a shipped one: `create_controller("mine.toml", space, seed=1)`. So does a controller of one's own,
`create_controller("mine.py:Mine", space, seed=1)`; what stands in for its settings is its file (`controllers.controller_file`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from controllers.controller import Controller, TokenSpace
from controllers.controller_file import ControllerFile, is_controller_file, read_controller_file
from controllers.evolution import Evolution, EvolutionSettings
from controllers.ppo import PPO, PPOSettings
from controllers.random import RandomSearch, RandomSettings
from controllers.reinforce import Reinforce, ReinforceSettings
from controllers.tree import TreeSearch, TreeSettings
from controllers.trpo import TRPO, TRPOSettings

Settings = (
    PPOSettings | ReinforceSettings | TRPOSettings | EvolutionSettings | TreeSettings | RandomSettings | ControllerFile
)

ALGORITHMS: dict[str, type[Settings]] = {
    "ppo": PPOSettings,
    "reinforce": ReinforceSettings,
    "trpo": TRPOSettings,
    "evolution": EvolutionSettings,
    "tree": TreeSettings,
    "random": RandomSettings,
}
"""The algorithms a preset may name, and their settings. A new one is a row here and a case in `build_controller`."""

DEFAULT_PRESET = "ppo-mutants"
MAX_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset as read: one line about it, and the settings, whose type says the algorithm."""

    description: str
    settings: Settings


def create_controller(
    name_or_path: str | Path, space: TokenSpace, seed: int, overrides: Mapping[str, object] | None = None
) -> Controller:
    """Create a controller from a preset's name, a TOML file, or a Python file of one's own.

    Args:
        name_or_path: one of `list_presets()`, a path that ends in `.toml`, or `path/to/file.py:NAME`, which is run.
        seed: decides the first weights and every draw.
        overrides: settings that replace the preset's, checked like them; a Python file has none.

    Raises:
        ValueError: for an unknown name, a field that is unknown, of the wrong type, or out of range, or a faulty Python file.
        FileNotFoundError: if the TOML file is not there.

    Example:
        >>> create_controller("ppo", space, seed=1, overrides={"duplicates": "skip"}).ask(1)[0].id
        0
    """
    return build_controller(load_preset(name_or_path, overrides).settings, space, seed)


def build_controller(settings: Settings, space: TokenSpace, seed: int) -> Controller:
    """Create the controller that these settings are of."""
    match settings:
        case PPOSettings():
            return PPO(space, settings, seed=seed)
        case ReinforceSettings():
            return Reinforce(space, settings, seed=seed)
        case TRPOSettings():
            return TRPO(space, settings, seed=seed)
        case EvolutionSettings():
            return Evolution(space, settings, seed=seed)
        case TreeSettings():
            return TreeSearch(space, settings, seed=seed)
        case RandomSettings():
            return RandomSearch(space, settings, seed=seed)
        case ControllerFile():
            return settings.create(space, seed)


def load_preset(name_or_path: str | Path, overrides: Mapping[str, object] | None = None) -> Preset:
    """Read and check a preset; a Python file is read and not run.

    Raises:
        ValueError: naming the file, the field, what it got and what would be valid.

    Example:
        >>> load_preset("bello2017").settings.learning_rate
        1e-05
    """
    if is_controller_file(str(name_or_path)):
        if overrides:
            raise ValueError(f"controller {str(name_or_path)!r} has no settings, but got {', '.join(overrides)}.")
        return Preset("a controller of one's own file", read_controller_file(str(name_or_path)))
    if str(name_or_path).endswith(".toml"):
        return _parse(_read(Path(name_or_path)), str(name_or_path), overrides or {})
    shipped = _shipped()
    if name_or_path not in shipped:
        names = ", ".join(shipped)
        raise ValueError(
            f"Unknown controller {str(name_or_path)!r}: must be one of {names}, "
            "a path that ends in .toml, or FILE.py:NAME."
        )
    text = shipped[str(name_or_path)].read_text(encoding="utf-8")
    return _parse(text, f"controller {str(name_or_path)!r}", overrides or {})


def _read(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: a preset has at most {MAX_BYTES} bytes, but this file has {size}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file: {error}.") from None


def list_presets() -> dict[str, str]:
    """List the shipped presets, each with one line about it.

    Example:
        >>> list(list_presets())
        ['bello2017', 'bello2017-trpo', 'evolution', 'ppo', 'ppo-mutants', 'random', 'reinforce', 'tree', 'trpo']
    """
    return {name: load_preset(name).description for name in _shipped()}


def _shipped() -> dict[str, Traversable]:
    folder = files("controllers").joinpath("presets")
    presets = {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    return dict(sorted(presets.items()))


def _parse(text: str, source: str, overrides: Mapping[str, object]) -> Preset:
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{source}: not valid TOML: {error}.") from None
    _check_names(table, ("description", "algorithm", "settings"), source)
    description, algorithm, settings = table.get("description"), table.get("algorithm"), table.get("settings", {})
    if not isinstance(description, str):
        raise ValueError(f"{source}: description is {description!r}, but must be one line of text.")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ValueError(f"{source}: algorithm is {algorithm!r}, but must be one of {', '.join(ALGORITHMS)}.")
    if not isinstance(settings, dict):
        raise ValueError(f"{source}: settings is {settings!r}, but must be a table, [settings].")
    return Preset(description, _read_settings(ALGORITHMS[algorithm], {**settings, **overrides}, source))


def _read_settings(kind: type[Settings], values: dict[str, Any], source: str) -> Settings:
    _check_names(values, [field.name for field in fields(kind)], f"{source}, [settings]")
    types = get_type_hints(kind)
    read: dict[str, Any] = {name: _read_value(name, value, types[name], source) for name, value in values.items()}
    try:
        return kind(**read)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _read_value(name: str, value: object, expected: Any, source: str) -> object:
    if expected is float and type(value) in (int, float):
        return float(value)  # type: ignore[arg-type]  # the line above says it is a number
    if expected is int and type(value) is int:
        return value
    if get_origin(expected) is Literal and isinstance(value, str):
        return value  # which string is checked with the settings
    options = ", ".join(get_args(expected))
    valid = {float: "a number", int: "a whole number"}.get(expected, f"one of {options}")
    raise ValueError(f"{source}: {name} is {value!r}, but must be {valid}.")


def _check_names(table: Mapping[str, object], valid: list[str] | tuple[str, ...], source: str) -> None:
    for name in table:
        if name not in valid:
            raise ValueError(f"{source}: unknown field {name!r}, must be one of {', '.join(valid)}.")
