"""Curves in Weights & Biases or MLflow, through Ray Tune's own callbacks, for which a whole search is one trial.

A trial of ours trains twenty rules and reports once: as a run of its own it would be a curve of one point, and a search a hundred of them.
"""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from neuropt.config import TRACKED, SearchConfig

EXPERIMENT = "neuropt"
"""Of MLflow, that runs are in."""
UPLOAD_SECONDS = 60
"""How long the end of a search waits for W&B to take what is left."""
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}
"""A server that does not answer is one line within seconds; whoever names a folder wants a folder. What the user set stays."""


class Tracking:
    """The curves of one search; where they cannot be written any longer, that is said once and the search goes on.

    Args:
        name: of the option, `wandb` or `mlflow`.
        config: of the search.
        run: its folder.
        console: where to say what goes wrong.
    """

    def __init__(self, name: str, config: SearchConfig, run: Path, console: Console | None) -> None:
        self.name, self.console = name, console
        self.trial = _Trial(config, run)
        self.callback: Any = _callback(name, config, run.name)
        self._do(lambda: self.callback.log_trial_start(self.trial))

    def write(self, values: Mapping[str, float], done: int, update: int | None = None) -> None:
        """Add a point to each curve; all are over the rules that are done, which never run backwards."""
        result = {"training_iteration": done, **values}
        self._do(lambda: self.callback.log_trial_result(done, self.trial, result))

    def close(self) -> None:
        """Write what is not yet written."""
        self._do(lambda: self.callback.log_trial_end(self.trial))
        self._do(lambda: self.callback.on_experiment_end([self.trial]))

    def _do(self, action: Callable[[], object]) -> None:
        if self.callback is None:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001  # whatever a server of others says must not end a search
            self.callback = None
            if self.console is not None:
                self.console.print(f"{self.name}: no more curves from here on: {_one_line(error)}", soft_wrap=True)


class _Trial:
    """What Tune's callbacks ask of a trial."""

    def __init__(self, config: SearchConfig, run: Path) -> None:
        self.trial_id = uuid.uuid4().hex[:8]
        self.config = {name: value for name, value in asdict(config).items() if value is not None}
        self.experiment_dir_name = self.name = run.name
        self.local_path = str(run.resolve())

    def __str__(self) -> str:
        return self.name


def check_tracking(config: SearchConfig) -> None:
    """Try what curves shall go to, before anything is trained.

    Raises:
        ValueError: a library that is not installed, no key, or a server that does not answer.
    """
    for name in TRACKED:
        if getattr(config, name) is not None:
            _callback(name, config, "")


def _callback(name: str, config: SearchConfig, run: str) -> Any:
    """Return Tune's callback, ready."""
    value = getattr(config, name)
    if importlib.util.find_spec(name) is None:
        raise ValueError(f"{name} {value} needs the library of that name: pip install {name}")
    for variable, usual in PATIENCE.items():
        os.environ.setdefault(variable, usual)
    try:
        callback = _wandb(value, run) if name == "wandb" else _mlflow(value)
        callback.setup()
    except Exception as error:  # noqa: BLE001  # of a library that is not ours; the user reads it in one line
        raise ValueError(f"{name} {value} cannot be used: {_one_line(error)}") from None
    return callback


def _wandb(project: str, run: str) -> Any:
    import wandb  # pyright: ignore[reportMissingImports]  # an extra
    from ray.air.integrations.wandb import WandbLoggerCallback

    key = None
    if os.environ.get("WANDB_MODE") not in ("offline", "disabled") and not os.environ.get("WANDB_API_KEY"):
        key = getattr(getattr(wandb, "api", None), "api_key", None)  # of `wandb login`
    return WandbLoggerCallback(
        project, group=run, api_key=key, upload_timeout=UPLOAD_SECONDS, mode=os.environ.get("WANDB_MODE")
    )


def _mlflow(place: str) -> Any:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    is_folder = "://" not in place and place != "databricks"
    uri = Path(place).resolve().as_uri() if is_folder else place
    return MLflowLoggerCallback(uri, registry_uri=uri if is_folder else None, experiment_name=EXPERIMENT)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
