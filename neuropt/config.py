"""What a search is told: one frozen record, written to the run folder before the first child starts."""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

Reward = Literal["accuracy", "loss"]
Grid = Literal["scaled", "paper"]
EvaluationGrid = Literal["centred", "scaled", "paper"]
Executor = Literal["tune", "in-process"]
Batched = Literal["auto", "yes", "no"]
Form = Literal["auto", "population", "plain", "rows", "channels-last", "batched", "compiled"]
Precision = Literal["float32", "bf16"]
Fidelity = Literal["full", "halving", "asha"]


@dataclass(frozen=True)
class SearchConfig:
    """A search for update rules. The defaults are the default search: minutes on two cores.

    Raises:
        ValueError: a number out of range, naming the field, what it got and what would be valid.

    >>> SearchConfig(rules=100).task
    'digits-mlp'
    """

    space: str = "arxiv2017"
    """search space: a name of `neuropt spaces`, or a TOML file"""
    groups: int | None = None
    """groups of five tokens in a rule, 1 to 6; None leaves the space's own number"""
    controller: str = "ppo-mutants"
    """who proposes: a name of `neuropt controllers`, a TOML file, or FILE.py:NAME"""
    warm_start: str | None = None
    """rules to begin with, such as adam,powersign or RUN:1, or the folder of an earlier run to learn from; commas between"""
    task: str = "digits-mlp"
    """what children are trained on: a name of `neuropt tasks`; or table:NAME, one of `neuropt table list` or a file"""
    rules: int = 2_000
    """distinct rules to train; duplicates and rejected rules do not count"""
    seed: int = 0
    """root seed of controller and children"""
    child_seeds: int = 1
    """seeds each rule is trained on"""
    reward: Reward | None = None
    """validation accuracy (the method's), or minus log of validation loss; None: whichever is the task's metric"""
    grid: Grid = "scaled"
    """learning rates: seven, scaled to the rule's own updates, or the paper's 10^-5 .. 10^1"""
    halving: bool = True
    """stop losing learning rates of a rule early"""
    fidelity: Fidelity = "full"
    """train each rule in full; or compare rules at 1/9 and 1/3 of the budget, where about a third goes on: halving, among
    the rules of a trial; asha, among all rules so far, one rule a trial (executor tune only)"""
    steps: int | None = None
    """training steps of a child; None leaves the task's own budget"""
    finalists: int = 10
    """best rules that are trained again on fresh seeds afterwards, beside tuned built-ins; 0 for none"""
    finalist_seeds: int = 10
    """fresh seeds that finalists are reported on"""
    data_dir: str | None = None
    """folder with data sets that are already there; else NEUROPT_DATA, else downloads"""
    executor: Executor = "tune"
    """Ray Tune on this machine or a cluster, or in this process without Ray"""
    address: str | None = None
    """HOST:PORT of a running Ray cluster; None starts Ray on this machine"""
    workers: int | None = None
    """trials at the same time (executor tune only); None uses every CPU of Ray"""
    cpus_per_child: float | None = None
    """CPUs that Ray sets aside for each trial under way, or a fraction of one (executor tune only); None: 1"""
    gpus_per_child: float | None = None
    """GPUs that Ray sets aside for each trial under way, or a fraction of one, whose children use it with device cuda
    (executor tune only); None: 1 with device cuda, else 0"""
    child_seconds: float | None = None
    """wall-clock seconds before a child is ended (executor tune only); None: 200 times its plain steps, at least 10"""
    child_memory: float | None = None
    """GiB that training may add to a worker before it is ended (executor tune only); None: its share of the machine"""
    tensorboard: bool = False
    """write curves for TensorBoard to the run's folder while it runs"""
    wandb: str | None = None
    """project of Weights & Biases that gets the same curves (executor tune only); pip install wandb"""
    mlflow: str | None = None
    """folder, or URI of a server, of MLflow that gets the same curves (executor tune only); pip install mlflow"""
    rules_per_trial: int | Literal["auto"] = 20
    """rules that one trial trains together; auto measures how many make Ray cost less than 3 % of a trial"""
    deterministic: bool = False
    """propose after exactly the results of `lag` trials before, so that any number of workers gives one search"""
    lag: int = 4
    """with deterministic: trials that may be under way at a time"""
    batched: Batched = "auto"
    """train children in one buffer, or one at a time; auto leaves it to the task's model"""
    form: Form = "auto"
    """how children are trained; auto: population for an MLP, else the fastest, measured once and kept in the user's cache"""
    device: str = "cpu"
    """cpu or cuda; with executor in-process also cuda:NUMBER"""
    precision: Precision = "float32"
    """of forward and backward passes: float32, or bf16 products (autocast)"""
    rules_together: int | None = None
    """rules that share a buffer; None: what stays in a CPU's cache, or what fits into a GPU's free memory"""

    def __post_init__(self) -> None:
        _check_types(self)
        least = {
            "rules": 1,
            "child_seeds": 1,
            "finalists": 0,
            "finalist_seeds": 2,
            "lag": 1,
        }
        for name, lowest in least.items():
            _check_whole(name, getattr(self, name), lowest)
        if self.rules_per_trial != "auto":
            _check_whole("rules_per_trial", self.rules_per_trial, 1)
        elif self.deterministic:
            raise ValueError("rules_per_trial must be a number with deterministic, since auto is a measurement")
        for name in ("groups", "steps", "workers", "rules_together"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name), 1)
        if not 0 <= self.seed < 2**31:
            raise ValueError(f"seed must be a whole number from 0 to 2^31 - 1, but got {self.seed!r}")
        choices = {"reward": Reward, "grid": Grid, "executor": Executor, "batched": Batched}
        choices |= {"form": Form, "precision": Precision, "fidelity": Fidelity}
        for name, choice in choices.items():
            valid: tuple[str, ...] = choice.__args__  # type: ignore[attr-defined]  # of a Literal
            if getattr(self, name) not in valid and not (name == "reward" and self.reward is None):
                raise ValueError(f"{name} must be one of {', '.join(valid)}, but got {getattr(self, name)!r}")
        for name in ("cpus_per_child", "gpus_per_child", "child_seconds", "child_memory"):
            limit = getattr(self, name)
            if limit is not None and not 0 < limit < math.inf:
                raise ValueError(f"{name} must be a positive number, but got {limit!r}")
            if limit is not None and name.endswith("per_child") and limit > 1 and limit % 1:
                raise ValueError(f"{name} must be a fraction of 1 or a whole number, but got {limit!r}")
        self._check_form()
        self._check_fidelity()
        for name in NEED_TUNE:
            if getattr(self, name) is not None and self.executor != "tune":
                why = "; this process cannot end a child that it trains itself" if name.startswith("child") else ""
                raise ValueError(f"{name} needs executor tune, but got executor in-process{why}")

    def _check_form(self) -> None:
        if self.form != "auto" and self.batched != "auto":
            raise ValueError(f"form {self.form} says how children are trained; leave out batched {self.batched}")
        if self.precision != "float32" and (self.form == "population" or self.batched == "yes"):
            raise ValueError(f"a population trains in float32 only; for precision {self.precision} choose another form")
        if self.executor == "tune":
            self._check_gpus()
        if self.device != "cpu" and self.deterministic:
            raise ValueError(f"deterministic needs device cpu: on {self.device} sums are taken in any order")

    def _check_gpus(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise ValueError(
                f"device must be cpu or cuda with executor tune, which shows each worker one GPU, but got {self.device!r}"
            )
        if self.device == "cuda" and self.gpus > 1:
            raise ValueError(
                f"gpus_per_child must be at most 1 with device cuda, since a trial trains on one GPU, but got {self.gpus:g}"
            )
        if self.device == "cuda" and self.rules_per_trial == "auto":
            raise ValueError(
                "rules_per_trial must be a number with device cuda and executor tune, since auto is measured on the driver's CPU"
            )

    @property
    def gpus(self) -> float:
        """GPUs that Ray sets aside for each trial under way."""
        return self.gpus_per_child or float(self.executor == "tune" and self.device != "cpu")

    def _check_fidelity(self) -> None:
        if self.fidelity != "asha":
            return
        if self.deterministic:
            raise ValueError(
                "fidelity asha is not for deterministic searches: who goes on depends on who finishes first; "
                "fidelity halving gives one search on any number of workers"
            )
        if self.executor != "tune":
            raise ValueError(f"fidelity asha needs executor tune, but got executor {self.executor}; here use halving")
        if self.rules_per_trial not in (1, SearchConfig.rules_per_trial):
            raise ValueError(
                f"rules_per_trial must be 1, or left out, with fidelity asha, but got {self.rules_per_trial}"
            )

    def to_toml(self) -> str:
        """Return the record as TOML; what is None is left out."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        # JSON's strings, numbers and booleans are TOML's
        return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


WHEREABOUTS = (
    "executor",
    "address",
    "workers",
    "cpus_per_child",
    "gpus_per_child",
    "device",
    "data_dir",
    "child_seconds",
    "child_memory",
    "tensorboard",
    "wandb",
    "mlflow",
)
"""Fields that may change when a run goes on: where it is trained and watched, not what."""

TRACKED = ("wandb", "mlflow")
"""Fields that name where curves go, through callbacks of Tune."""

NEED_TUNE = ("address", "workers", "cpus_per_child", "gpus_per_child", "child_seconds", "child_memory", *TRACKED)
"""Fields that only the Tune executor can follow."""

_KINDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _check_types(config: SearchConfig) -> None:
    """Refuse values of another type than the field's; a file or a caller may hold anything."""
    for name, hint in get_type_hints(SearchConfig).items():
        kinds = tuple(kind for kind in _KINDS if kind is hint or kind in get_args(hint)) or (str,)
        kinds += (int,) if float in kinds else ()
        value = getattr(config, name)
        if (value is None and type(None) in get_args(hint)) or value in _words(hint):
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name} must be {_KINDS[kinds[0]]}, but got {value!r:.80}")


def _words(hint: Any) -> tuple[str, ...]:
    """Return the words that a field takes beside its other values."""
    return tuple(word for part in get_args(hint) for word in get_args(part))


def _check_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, but got {value!r}")


def read_config(path: Path) -> SearchConfig:
    """Read the record of a run.

    Raises:
        ValueError: a file that is not TOML, or a field that does not exist.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a search configuration: {error}") from None
    known = {field.name for field in fields(SearchConfig)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(
            f"{path} has a field {unknown[0]!r} that a search does not have; there are {', '.join(sorted(known))}"
        )
    return SearchConfig(**values)
