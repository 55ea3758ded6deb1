"""Contenders: what takes part in a comparison, a rule or a named optimizer.

adam                      a rule of the zoo and a class of the catalogue, which equal each other
adabound                  a class whose update depends on the lr that it starts with: its rule of the zoo fixes that one
adamw(beta2=0.95|0.999)   values of hyperparameters, tuned beside the learning rate where there are several
graft(sgd, adam)          the length of one rule's update in the direction of another's
runs/first:1, sign(m)     rules, found or written
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from neuropt.evaluating.grafting import grafted, read_pair
from neuropt.evaluating.origin import origin
from neuropt.evaluating.settings import check_axes, read_settings
from neuropt.evaluating.tuning import Axis, Hyperparameters
from neuropt.finding import find_rule
from neuropt.optimizers.catalogue import NamedOptimizer, named_optimizers
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import Task
from neuropt.training.train import is_batched
from neuropt.training.work import Job
from search_space import Rule, Trajectory, screen, zoo


@dataclass(frozen=True, slots=True)
class Contender:
    """What takes part in a comparison.

    Args:
        name: how tables call it.
        rule: its rule, or None for an optimizer that is not one.
        optimizer: its name in the catalogue, or None for a rule that has none.
        searched: names of the tasks on which a search found it.
        used_seeds: seeds that the search trained on.
        axes: hyperparameters and the values that they may take.
    """

    name: str
    rule: Rule | None
    optimizer: str | None = None
    searched: frozenset[str] = frozenset()
    used_seeds: tuple[int, ...] = ()
    axes: tuple[Axis, ...] = ()

    @property
    def shown_rule(self) -> str | None:
        """The rule on one line, or None where the name says it."""
        return None if self.rule is None or self.name in zoo() else one_line(self.rule)

    @property
    def default_lr(self) -> float | None:
        """The learning rate that its class has by default; None for what is no name of the catalogue."""
        return None if self.optimizer is None else float(named_optimizers()[self.optimizer].defaults["lr"])

    def job(
        self,
        task: Task,
        learning_rates: Sequence[float],
        schedule: str = CONSTANT,
        hyperparameters: Hyperparameters = (),
        in_rows: bool = False,
    ) -> Job:
        """Return the work to train it: as a rule where children share a buffer, as its own class where they do not and it has one.

        Args:
            in_rows: whether children share a buffer although the task's model is no `MLP`.
        """
        rates = tuple(learning_rates)
        if self.rule is not None and hyperparameters:
            return Job(with_values(self.rule, hyperparameters).text, rates)
        if self.rule is not None and (in_rows or is_batched(task, schedule) or self.optimizer is None):
            return Job(self.rule.text, rates)
        return Job(None, rates, self.optimizer, hyperparameters=hyperparameters)


def with_values(rule: Rule, values: Hyperparameters) -> Rule:
    """Return a rule with other values of some hyperparameters.

    >>> with_values(zoo()["signum"], (("momentum", 0.5),)).hyperparameters
    (('momentum', 0.5),)
    """
    given = dict(values)
    return replace(rule, hyperparameters=tuple((name, given.get(name, old)) for name, old in rule.hyperparameters))


def one_line(rule: Rule) -> str:
    """Return the text of a rule on one line, which `parse_rule` reads too.

    >>> one_line(zoo()["signum"])
    'momentum = 0.9; buf = ema(g, momentum); u = sign(buf)'
    """
    return "; ".join(rule.text.splitlines())


def named(name: str) -> Contender:
    """Return the contender of a name in the catalogue or the zoo.

    >>> named("powersign").optimizer, named("signum").optimizer, named("adabound").rule
    ('powersign', None, None)
    """
    row = named_optimizers().get(name)
    if row is not None and not row.lr_free:
        return Contender(name, None, name)
    searched = frozenset[str]() if row is None else row.searched
    return Contender(name, zoo().get(name), name if row is not None else None, searched)


def find_contender(text: str | Rule) -> Contender:
    """Return the contender that `text` means: a name of the catalogue or the zoo, or whatever `find_rule` finds.

    Raises:
        ValueError: (or RuleError) no such name or run, or text that is no rule.
    """
    if isinstance(text, Rule):
        return Contender(one_line(text), text)
    if text in named_optimizers() or text in zoo():
        return named(text)
    if (pair := read_pair(text)) is not None:
        magnitude, direction = pair
        return Contender(text, zoo()[magnitude] if magnitude == direction else grafted(*(zoo()[n] for n in pair)))
    if (settings := read_settings(text)) is not None:
        return _with_settings(text, *settings)
    found = find_rule(text)
    name = found.name or one_line(found.rule)
    searched, seeds = origin(found)
    return Contender(name, found.rule, None, searched, seeds)


def _with_settings(text: str, name: str, axes: tuple[Axis, ...]) -> Contender:
    if name not in named_optimizers() and name not in zoo():
        raise ValueError(f"{text!r}: no optimizer is called {name!r}; `neuropt optimizers` lists all names")
    contender = named(name)
    row = named_optimizers().get(name)
    if contender.rule is not None:
        check_axes(text, axes, dict(contender.rule.hyperparameters))
    elif row is not None:
        numbers = {n for n, value in row.defaults.items() if isinstance(value, float) and n != "lr"}
        check_axes(text, axes, numbers)
    if row is not None:
        _check_values(row, axes)
    return replace(contender, name=text, axes=axes)


def _check_values(row: NamedOptimizer, axes: tuple[Axis, ...]) -> None:
    """Refuse a value out of range here, as the class does, and not in a worker; torch's classes take betas as a pair."""
    betas = row.defaults.get("betas")
    for axis, values in axes:
        for value in values:
            given: dict[str, Any] = {axis: value}
            if axis not in row.defaults and betas is not None and axis in ("beta1", "beta2"):
                given = {"betas": (value, betas[1]) if axis == "beta1" else (betas[0], value)}
            if set(given) <= set(row.defaults):
                row.create([torch.nn.Parameter(torch.zeros(1))], **row.arguments(1.0, 100), **given)


def check_names(contenders: Iterable[Contender]) -> None:
    """Raise a ValueError if two contenders have one name: their rows could not be told apart."""
    names: set[str] = set()
    for contender in contenders:
        if contender.name in names:
            raise ValueError(f"{contender.name!r} is given twice; every optimizer takes part once")
        names.add(contender.name)


def update_scale(contender: Contender, trajectory: Trajectory) -> tuple[float, str | None]:
    """Return the mean |u| on a recorded trajectory, and what is wrong where it is not a positive number.

    An optimizer that is no rule is run itself, at learning rate 1, with each recorded gradient at each recorded weight.
    """
    if contender.rule is not None:
        screening = screen(contender.rule, trajectory)
        scale, reason = screening.scale, screening.reason
    else:
        assert contender.optimizer is not None
        scale, reason = _replayed_scale(contender.optimizer, trajectory), None
    if 0.0 < scale < np.inf:
        return scale, None
    return scale, reason or f"its mean update on the task is {scale}, so it has no scaled learning rates"


def _replayed_scale(name: str, trajectory: Trajectory) -> float:
    w = torch.nn.Parameter(torch.zeros(trajectory.weights.shape[1], dtype=torch.float64))
    row = named_optimizers()[name]
    optimizer = row.create([w], **row.arguments(1.0, len(trajectory.weights)))
    sizes = []
    for weights, gradient in zip(trajectory.weights, trajectory.gradients, strict=True):
        before = torch.tensor(weights)
        w.data.copy_(before)
        w.grad = torch.tensor(gradient)
        optimizer.step()
        sizes.append((before - w.detach()).abs().mean())
    return float(torch.stack(sizes).mean())
