"""What an evaluation is told: one frozen record, written to its folder before the first child starts; profiles are such records by name."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from neuropt.config import EvaluationGrid, Executor, Reward

PROFILES = ("quick", "full", "grafting")
CONFIG = "config.toml"
ALL = "all"
"""Of tasks: every one that needs no download."""
FORMS = ("usual", "rows", "batched", "measured")


@dataclass(frozen=True)
class EvaluationConfig:
    """A comparison of optimizers.

    Raises:
        ValueError: a field of another type, or out of range, naming the field, what it got and what would be valid.

    >>> EvaluationConfig(("adam",), ("digits-mlp",)).trials
    9
    """

    optimizers: tuple[str, ...]
    """names of the catalogue or the zoo, with values or without, pairs, `RUN:k`, or rule text"""
    tasks: tuple[str, ...]
    """names, or "all" for every one that needs no download"""
    schedule: tuple[str, ...] = ("constant",)
    """of the learning rate; every optimizer is tuned and reported under each"""
    seeds: int = 10
    """fresh seeds that results are reported on"""
    tune_seeds: int = 3
    """seeds that trials are chosen on"""
    trials: int = 9
    """budget of tuning of each optimizer under each schedule on each task"""
    grid: EvaluationGrid = "centred"
    """learning rates: {1, 3} x 10^k around each optimizer's own centre; or the grids of a search"""
    reward: Reward | None = None
    """what chooses, on validation; None for each task's own metric"""
    reference: str | None = None
    """the optimizer that others are compared with; None for adamw, or else the first one that is a baseline"""
    evaluations: int = 20
    """points of a learning curve"""
    consecutive: int = 2
    """evaluations in a row that must reach the target"""
    steps: int | None = None
    """training steps; None leaves each task's own budget"""
    seed: int = 0
    """root of all seeds"""
    form: str = "usual"
    """how children of tasks that are no MLP are trained: usual (one at a time); rows; batched, or rows where it must be; measured"""
    executor: Executor = "in-process"
    """this process, or Ray on this machine or a cluster"""
    workers: int | None = None
    """processes of Ray (executor tune only); None for every CPU"""
    address: str | None = None
    """HOST:PORT of a running Ray cluster"""
    data_dir: str | None = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    baselines: str | None = None
    """folder of archived results that stand beside the new ones, or alone"""
    profile: str | None = None
    """where this came from, for the record"""

    def __post_init__(self) -> None:
        for name in ("optimizers", "tasks", "schedule"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)) or not all(isinstance(value, str) for value in values):
                raise ValueError(f"{name} must be a list of names, but got {values!r:.80}")
            object.__setattr__(self, name, tuple(values))
        for name, least in (("seeds", 1), ("tune_seeds", 1), ("trials", 1), ("evaluations", 1), ("consecutive", 1)):
            _check_whole(name, getattr(self, name), least)
        for name in ("steps", "workers"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be a whole number from 0 to 2^31 - 1, but got {self.seed!r}")
        choices = {"executor": get_args(Executor), "grid": get_args(EvaluationGrid), "form": FORMS}
        choices["reward"] = (*get_args(Reward), None)
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                words = ", ".join(str(word) for word in valid if word is not None)
                raise ValueError(f"{name} must be one of {words}, but got {getattr(self, name)!r}")
        for name in ("reference", "address", "data_dir", "baselines", "profile"):
            if not isinstance(getattr(self, name), str | None):
                raise ValueError(f"{name} must be text, but got {getattr(self, name)!r:.80}")
        for name in OF_RAY:
            if getattr(self, name) is not None and self.executor != "tune":
                raise ValueError(f"{name} needs executor tune, but got executor {self.executor}")
        if self.consecutive > self.evaluations:
            raise ValueError(
                f"consecutive must be at most evaluations = {self.evaluations}, but got {self.consecutive}"
            )

    def to_toml(self) -> str:
        """Return the record as TOML; what is None is left out."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        # JSON's strings, numbers, booleans and lists of strings are TOML's
        return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


OF_RAY = ("workers", "address")
"""Fields that only the Tune executor can follow."""

WHEREABOUTS = ("executor", "workers", "address", "data_dir")
"""Fields that may change when an evaluation goes on: where children are trained, not what."""


def read_profile(name: str) -> dict[str, Any]:
    """Return the fields that a profile sets: one of the shipped ones, or a TOML file.

    Raises:
        ValueError: no such profile, or a file that is none.

    >>> read_profile("quick")["executor"]
    'tune'
    """
    if name in PROFILES:
        text = files("neuropt.evaluating").joinpath("profiles", f"{name}.toml").read_text(encoding="utf-8")
        return _values(text, f"profile {name}") | {"profile": name}
    if not Path(name).is_file():
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, or a TOML file, but got {name!r}")
    return read_fields(Path(name)) | {"profile": name}


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields in a file.

    Raises:
        ValueError: a file that is not TOML, or a field that an evaluation does not have.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no configuration of an evaluation: {error}") from None
    return _values(text, str(path))


def read_config(path: Path) -> EvaluationConfig:
    """Return the configuration of an evaluation that is to go on.

    Raises:
        ValueError: no such file, or another kind of file.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent} holds no evaluation to resume: {path} does not exist")
    return make_config(read_fields(path))


def make_config(values: Mapping[str, Any]) -> EvaluationConfig:
    """Return a configuration; tasks must be among the fields, and optimizers unless there are archived ones."""
    for name in ("optimizers", "tasks"):
        if not values.get(name) and not (name == "optimizers" and values.get("baselines")):
            raise ValueError(f"evaluate({name}=...) must name at least one, but got none; or give a profile")
    return EvaluationConfig(**{"optimizers": (), **values})


def moved(config: EvaluationConfig, whereabouts: Mapping[str, Any]) -> EvaluationConfig:
    """Return the configuration with other whereabouts; those that are None stay, but for what this process cannot follow."""
    left: dict[str, Any] = dict.fromkeys(OF_RAY) if whereabouts.get("executor") == "in-process" else {}
    return replace(config, **(left | {name: value for name, value in whereabouts.items() if value is not None}))


def _values(text: str, what: str) -> dict[str, Any]:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{what} is no configuration of an evaluation: {error}") from None
    known = [field.name for field in fields(EvaluationConfig)]
    unknown = sorted(values.keys() - set(known))
    if unknown:
        raise ValueError(
            f"{what} has a field {unknown[0]!r} that an evaluation does not have; there are {', '.join(known)}"
        )
    return values


def _check_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, but got {value!r}")
