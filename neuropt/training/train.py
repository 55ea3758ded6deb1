"""Train children of many rules on a task, in one of the forms of `neuropt.training.forms`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn
from torch.optim import Optimizer

from neuropt.compiling.program import compile_program
from neuropt.compiling.rule_optimizer import RuleOptimizer
from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks.task import MLP, Split, Task, TaskData
from neuropt.training.children import Cohort, Ladder, Results, race
from neuropt.training.devices import CPU
from neuropt.training.forms import Form, check_form, usual_form
from neuropt.training.one_at_a_time import OneAtATime, OptimizerFactory
from neuropt.training.population import Population
from neuropt.training.precision import Precision
from neuropt.training.row_population import RowPopulation
from search_space import Rule

POPULATION_BYTES = 1_600_000
"""Weights of one population: with its gradients and remembered values it stays in the cache (docs/performance.md)."""


def is_batched(task: Task, schedule: str = CONSTANT) -> bool:
    """Whether children of the task train together in one buffer unless told otherwise: those of an `MLP` do, where lr alone moves."""
    return usual_form(task, schedule) == "population"


def population_rules(task: Task, rates: int, seeds: int) -> int:
    """Return how many rules share a population, at so many learning rates and seeds each."""
    if not isinstance(task.model, MLP):
        return 1
    row_bytes = 4 * task.model.parameter_count
    return max(1, round(POPULATION_BYTES / (row_bytes * rates * seeds)))


def train_rules(
    task: Task,
    data: TaskData,
    rules: Sequence[Rule],
    learning_rates: Sequence[Sequence[float]],
    seeds: Sequence[int],
    *,
    halving: bool = True,
    batched: bool | None = None,
    test: bool = False,
    schedule: str = CONSTANT,
    form: Form | None = None,
    rules_together: int | None = None,
    device: torch.device = CPU,
    precision: Precision = "float32",
    ladder: Ladder | None = None,
    evaluations: int = 0,
) -> Results:
    """Train every rule at each of its learning rates on each seed.

    Args:
        task: model and budget.
        data: its splits; the reward comes from validation.
        rules: what to train with.
        learning_rates: those of each rule.
        seeds: of weights, batches and draws.
        halving: whether losing learning rates stop early, as `task.halving` says.
        batched: whether children train together in one buffer; None leaves it to the task's model.
        test: whether to evaluate on the test split too; for finalists only.
        schedule: of every child, a name of `neuropt.optimizers.named_schedules`.
        form: how children are trained, see `neuropt.training.forms`; None leaves it to `batched`.
        rules_together: how many share a buffer; None for the usual number.
        device: where.
        precision: of forward and backward passes.
        ladder: rungs at which rules may stop; all rules then train side by side, as many of them as share a buffer.
        evaluations: points of each child's learning curve; 0 for none.

    Returns:
        children as [rule][learning rate][seed].

    Raises:
        ValueError: a form that the task, its schedule or the precision does not allow, `batched=True` among them; an unknown schedule; a
            rule without learning rates; no seeds.
    """
    check_lists(rules, learning_rates, seeds)
    if batched and form is None and not is_batched(task, schedule):
        what = task.name if schedule == CONSTANT else f"{task.name} under schedule {schedule!r}"
        raise ValueError(f"batched=True needs a task whose model is an MLP, but {what} is trained one at a time")
    splits = {"validation": data.validation} | ({"test": data.test} if test else {})
    form = form_of(task, batched, schedule, form, precision)
    if form == "population" and precision != "float32":
        raise ValueError(f"form population trains in float32 only; for precision {precision} use another form")
    check_form(form, task, data, schedule)
    results: Results = []
    with whole_float32():
        counts, side_by_side = [len(rates) for rates in learning_rates], ladder is not None
        slices = cohort_slices(task, counts, len(seeds), form, rules_together, side_by_side)
        if side_by_side and len(slices) > 1:
            raise ValueError(f"a ladder is for rules that share a buffer, but these {len(rules)} need {len(slices)}")
        for chosen in slices:
            some, rates = rules[chosen], learning_rates[chosen]
            cohort: Cohort[Split]
            if form == "plain":
                factories = [rule_factory(rule, task.steps) for rule in some]
                cohort = OneAtATime(
                    task, data, factories, rates, seeds, schedule=schedule, device=device, precision=precision
                )
            else:
                programs = [compile_program(rule) for rule in some]
                cohort = (
                    Population(task, data, programs, rates, seeds, schedule=schedule, device=device)
                    if form == "population"
                    else RowPopulation(task, data, programs, rates, seeds, form, device, precision, schedule=schedule)
                )
            results += race(cohort, task, splits, halving, evaluations, ladder)
    return results


def form_of(
    task: Task,
    batched: bool | None,
    schedule: str = CONSTANT,
    form: Form | None = None,
    precision: Precision = "float32",
) -> Form:
    """Return the form in which children are trained: the given one; else as `batched` says; else the usual one."""
    if form is not None:
        return form
    if batched is None:
        return usual_form(task, schedule) if precision == "float32" else "plain"
    return "population" if batched else "plain"


def cohort_slices(
    task: Task,
    rates: Sequence[int],
    seeds: int,
    form: Form,
    rules_together: int | None = None,
    side_by_side: bool = False,
) -> list[slice]:
    """Return which rules train together.

    Args:
        task: of the children.
        rates: how many learning rates each rule has.
        seeds: how many.
        form: of the children.
        rules_together: how many, where it is given: a plain form has no buffer that it could bound.
        side_by_side: whether rules are compared on the way, so that all are under way at once, whatever the form and its cache.
    """
    usual = len(rates) or 1
    if not side_by_side:
        usual = population_rules(task, max(rates, default=1), seeds) if form == "population" else 1
    return _even_parts(len(rates), usual if form == "plain" else rules_together or usual)


def check_lists(rules: Sequence[Rule], learning_rates: Sequence[Sequence[float]], seeds: Sequence[int]) -> None:
    """Raise a ValueError if rules, learning rates and seeds do not belong together."""
    if len(rules) != len(learning_rates):
        raise ValueError(f"{len(rules)} rules need {len(rules)} lists of learning rates, but got {len(learning_rates)}")
    for position, rates in enumerate(learning_rates):
        if not rates:
            raise ValueError(f"rule {position} has no learning rate; every rule needs at least one")
    if not seeds:
        raise ValueError("seeds must hold at least one seed, but got none")


def _even_parts(count: int, most: int) -> list[slice]:
    """Cut `count` rules into as few populations of at most `most` as it takes, all of nearly one size."""
    parts = -(-count // most)
    bounds = [count * i // parts for i in range(parts + 1)] if parts else []
    return [slice(first, last) for first, last in pairwise(bounds)]


def train_optimizer(
    task: Task,
    data: TaskData,
    factory: OptimizerFactory,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    halving: bool = True,
    test: bool = False,
    schedule: str = CONSTANT,
    device: torch.device = CPU,
    precision: Precision = "float32",
    evaluations: int = 0,
) -> Results:
    """Train with any torch optimizer, one child at a time; as `train_rules` for one rule."""
    splits = {"validation": data.validation} | ({"test": data.test} if test else {})
    with whole_float32():
        cohort = OneAtATime(
            task, data, [factory], [learning_rates], seeds, schedule=schedule, device=device, precision=precision
        )
        return race(cohort, task, splits, halving, evaluations)


def rule_factory(rule: Rule, steps: int) -> OptimizerFactory:
    """Return how to make the rule's optimizer for a child of so many steps."""

    def factory(parameters: Iterable[nn.Parameter], learning_rate: float, seed: int) -> Optimizer:
        return RuleOptimizer(parameters, rule, lr=learning_rate, decay_steps=steps, seed=seed)

    return factory


@contextmanager
def whole_float32() -> Iterator[None]:
    """Count as float32 does in training: numbers under 1e-38 as 0, and convolutions of a GPU to the last of its bits.

    Averages that decay for long would else slow a CPU's arithmetic down a hundredfold; and CUDA's convolutions round what they read to 10
    bits (TF32) unless told otherwise, so that forms of a child would agree to 1e-3.
    """
    tf32 = torch.backends.cudnn.allow_tf32
    torch.set_flush_denormal(True)
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.backends.cudnn.allow_tf32 = tf32
