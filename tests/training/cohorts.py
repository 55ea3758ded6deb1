"""Small cohorts that several tests train: one list of rules for everything a rule can do, and curves of single children."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from neuropt.compiling.program import compile_program
from neuropt.tasks import get_task, load_task_data
from neuropt.tasks.task import MLP, Task
from neuropt.training.one_at_a_time import OneAtATime
from neuropt.training.population import Population
from neuropt.training.train import rule_factory
from search_space import Rule, parse_rule

DIGITS = get_task("digits-mlp")
DATA = load_task_data(DIGITS)

RULES = {
    "gradient": "g",
    "momentum": "buf = 0.9 * prev(buf) + g; u = buf",
    "adam": "adam",
    "adam, written out": "a = debiased(g, 0.9); b = debiased(g ** 2, 0.999); u = a / (sqrt(b) + 1e-8)",
    "shared average": "g * exp(sign(g) * sign(m))",
    "shared average and its own": "m + 0.1 * ema(g, 0.5)",
    "two averages of one value": "ema(g, 0.9) - 0.5 * ema(g, 0.8)",
    "an average of what is read before it": "r = sign(g ** 3) * ld; x = 0.01 * gammahat; u = where(sign(x) == sign(r), x, 0)",
    "weight decay": "mhat + 1e-3 * w",
    "noise": "adam + noise(0.01)",
    "noise of a moving size": "g + noise((1 + t) ** (-0.55))",
    "drop": "drop(g, 0.3) * exp(sign(g) * sign(mhat))",
    "two draws": "drop(noise(0.1) + g, 0.1) + drop(m, 0.1)",
    "drop of a moving share": "drop(g, 0.5 * ld)",
    "drop of a number": "g * drop(1, 0.2)",
    "norm": "g / (norm(g) + 1e-8)",
    "mean and dot": "g - mean(g) + 1e-3 * dot(g, w) * w",
    "remembered reduction": "n = 0.9 * prev(n) + norm(g); u = g / (n + 1e-8)",
    "reduction of a number": "g * norm(2)",
    "reduction of lr": "100 * norm(lr) * g",
    "reduction of a reduction": "1e-3 * g / norm(dot(norm(g), 2))",
    "reduction of a remembered reduction": "n = 0.5 * prev(n) + norm(g); u = g / (norm(n) + norm(prev(n)) + 1e-8)",
    "reduction of a start": "u = 1e-2 * norm(1 + prev(u)) * g",
    "reduction of the start of a number": "n = 0.1 * norm(1 + prev(n)); u = n * g",
    "remembered number": "mu = 0.9 * prev(mu, 1); u = g * (1 - mu)",
    "remembered maximum": "g / (sqrt(cummax(v)) + 1e-3)",
    "remembered sum": "g / (sqrt(cumsum(g ** 2)) + 1e-8)",
    "feeding each other": "a = 0.5 * prev(b) + g; b = prev(a) + g; u = 0.1 * b",
    "average that becomes infinite": "a = ema(1 / g ** 2, 0.9); u = g / (1 + 1e-6 * a)",  # where a pixel is never lit
    "delay": "d = prev(d0); d0 = g; u = d0 + 0.5 * d",
    "delay of a delay": "d = g + 0; e = prev(d); u = d + prev(e)",
    "previous update": "u = g + 0.5 * prev(u)",
    "start": "a = 0.9 * prev(a, 0.01) + 0.1 * g; u = a",
    "reads lr": "100 * lr * g",
    "remembers lr": "s = prev(s) + lr; u = g / (1 + s)",
    "average by lr": "a = (1 - lr) * prev(a) + lr * g; u = a",
    "linear decay": "g * ld",
    "cosine decay": "rmsprop * cd(10)",
    "restarts": "g * (1 + rd(2))",
    "clipped": "clip(g, 1e-3) + clamp(m, -1e-3, 1e-2)",
    "chosen": "where(g * m > 0, g, 0.1 * g)",
    "powers": "pow_abs(g, 0.5) * sign(g)",
    "hyperparameter": "beta = 0.7; u = ema(g, beta) * (1 - beta)",
    "a number": "0.001",
    "the weight": "w",
}


def parsed(texts: Sequence[str]) -> list[Rule]:
    """The rules of texts."""
    return [parse_rule(text) for text in texts]


class _Doubled(nn.Module):
    """A network in float64 on float32 examples."""

    def __init__(self, mlp: MLP) -> None:
        super().__init__()
        self.network = mlp.build().double()

    def forward(self, x: Tensor) -> Tensor:
        result = self.network(x.double())
        assert isinstance(result, Tensor)
        return result


def doubled(task: Task) -> Task:
    """The task, its model in float64; its weights begin at the same numbers."""
    mlp = task.model
    assert isinstance(mlp, MLP)
    return Task(
        f"{task.name}-double",
        "float64",
        "tests",
        task.load,
        lambda: _Doubled(mlp),
        task.batch_size,
        task.steps,
        task.halving,
        task.loss_bound,
    )


Curves = dict[tuple[int, int, int], Tensor]
"""(rule, learning rate, seed) -> the training loss of every step"""


def population(
    rules: Sequence[Rule],
    rates: Sequence[Sequence[float]],
    seeds: Sequence[int],
    task: Task = DIGITS,
    dtype: torch.dtype = torch.float32,
) -> Population:
    """A population that keeps its curves."""
    return Population(task, DATA, [compile_program(rule) for rule in rules], rates, seeds, dtype=dtype, curves=True)


def one_at_a_time(
    rules: Sequence[Rule], rates: Sequence[Sequence[float]], seeds: Sequence[int], task: Task = DIGITS
) -> OneAtATime:
    """Children one at a time, with their curves."""
    return OneAtATime(task, DATA, [rule_factory(rule, task.steps) for rule in rules], rates, seeds, curves=True)


def curves(cohort: Population | OneAtATime, steps: int) -> Curves:
    """Train all children for so many steps."""
    cohort.advance(steps)
    assert cohort.history is not None
    table = torch.stack(cohort.history)
    return {
        (column.rule, column.rate, seed): table[:, s, c].double()
        for s, seed in enumerate(cohort.seeds)
        for c, column in enumerate(cohort.columns)
    }
