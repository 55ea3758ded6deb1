"""Decide, before a run begins, how its children are trained; what is decided is written to `config.toml`, and a resumed run follows it."""

from __future__ import annotations

import os
from dataclasses import replace

from rich.console import Console

from neuropt.config import SearchConfig
from neuropt.searching.engine import BATCHED
from neuropt.tasks.task import MLP, Task, TaskData
from neuropt.training.choosing import choose_form
from neuropt.training.devices import find_device
from neuropt.training.forms import Form as TrainedForm
from neuropt.training.forms import check_form
from neuropt.training.learning_rates import learning_rates
from neuropt.training.sizing import rules_that_fit
from neuropt.training.train import form_of


def with_form(config: SearchConfig, task: Task, data: TaskData, console: Console | None = None) -> SearchConfig:
    """Return the configuration with what is found out here: the fastest form, and how many rules fit into a GPU's memory.

    "auto" is left as it is where nothing is measured: it means a population for an MLP, and with `deterministic`, whose numbers must not
    depend on timing, the plain form for other models. So it does on GPUs of Ray's workers, which the driver leaves alone: it may have none,
    and one that it began would be busy; each worker finds out what fits into its own.

    Raises:
        ValueError: a form that the task does not allow, or a device that is not here.
    """
    if config.executor == "tune" and config.device != "cpu":
        if _is_open(config, task) and console is not None:
            console.print(
                f"{task.name}: form plain, not measured on GPUs of Ray's workers (--form names another)", soft_wrap=True
            )
        check_form(trained_form(config, task), task, data)
        return config
    device = find_device(config.device)
    children = len(learning_rates(config.grid, 1.0)) * config.child_seeds
    if _is_open(config, task):
        workers = 1 if config.executor == "in-process" else config.workers or os.cpu_count() or 1
        steps = config.rules * task.steps // workers
        choice = choose_form(task, data, children, steps, device, config.precision)
        if console is not None:
            console.print(f"{task.name}: {choice}", soft_wrap=True)
        config = replace(config, form=choice.form)
    form = trained_form(config, task)
    check_form(form, task, data)
    if config.rules_together is None and form in ("population", "batched"):
        config = replace(config, rules_together=rules_that_fit(task, data, children, device))
    return config


def trained_form(config: SearchConfig, task: Task) -> TrainedForm:
    """Return the form that children of a configuration are trained in."""
    form = None if config.form == "auto" else config.form
    return form_of(task, BATCHED[config.batched], form=form, precision=config.precision)


def _is_open(config: SearchConfig, task: Task) -> bool:
    """Whether the form is to be measured."""
    usual = isinstance(task.model, MLP) and config.precision == "float32"
    return config.form == "auto" and config.batched == "auto" and not usual and not config.deterministic
