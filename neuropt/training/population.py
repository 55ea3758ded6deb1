"""A population: children of many rules, learning rates and seeds, trained in one flat buffer.

Weights, gradients and updates are (seeds, columns, P). A step is one batched pass a seed, one set of calls for the rules of all rows, and
one `w <- w - lr u` for everything. Children that lose or diverge leave the buffer, which shrinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from neuropt.compiling.program import Program
from neuropt.optimizers.named_schedules import CONSTANT, rate_factors
from neuropt.tasks import batch_order, initial_weights
from neuropt.tasks.task import MLP, Split, Task, TaskData
from neuropt.training.batched_mlp import Batch, BatchedMLP
from neuropt.training.children import Column, Losses
from neuropt.training.devices import CPU, placed
from neuropt.training.merging import order_for_sharing
from neuropt.training.population_draws import shared_draws
from neuropt.training.rows import Rows


class Population:
    """Children of an `MLP` task in one buffer.

    Args:
        task: with an `MLP` as its model.
        data: of the task.
        programs: the rules.
        learning_rates: those of each rule.
        seeds: each rule is trained at each of its learning rates on each seed.
        dtype: of weights and arithmetic.
        curves: whether to keep the training losses of all steps, in `history`.
        schedule: a name of `neuropt.optimizers.named_schedules` that moves lr alone, which every child follows.
        device: where.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        programs: Sequence[Program],
        learning_rates: Sequence[Sequence[float]],
        seeds: Sequence[int],
        dtype: torch.dtype = torch.float32,
        curves: bool = False,
        schedule: str = CONSTANT,
        device: torch.device = CPU,
    ) -> None:
        assert isinstance(task.model, MLP)
        self.task, self.mlp, self.programs, self.seeds = task, task.model, programs, list(seeds)
        order = order_for_sharing(programs)
        self.columns = [Column(r, i, lr) for r in order for i, lr in enumerate(learning_rates[r])]
        train, self.device = placed(data.train, device), device
        self.inputs, self.targets = train.inputs.flatten(1).to(dtype), train.targets
        self.classes = self.mlp.sizes[-1]
        self.orders = [batch_order(len(data.train), task.batch_size, task.steps, seed).to(device) for seed in seeds]
        start = torch.stack([initial_weights(task, seed).to(dtype) for seed in seeds]).to(device)  # (seeds, P)
        self.weights = start.unsqueeze(1).repeat(1, len(self.columns), 1)
        self.losses = Losses(len(self.seeds), len(self.columns), task.loss_bound, start.device)
        self.history: list[Tensor] | None = [] if curves else None
        self.t = 0
        self.factors = rate_factors(schedule, task.steps)
        self.rows = self._prepared()

    def _prepared(self) -> Rows:
        """Prepare passes and rules for the present columns."""
        self.gradients, self.updates = torch.empty_like(self.weights), torch.empty_like(self.weights)
        rates = torch.tensor([[-c.learning_rate] for c in self.columns], dtype=torch.float64)  # (columns, 1)
        self.descents = {f: (f * rates).to(self.weights) for f in dict.fromkeys(self.factors[self.t :])}
        self.passes = [
            BatchedMLP(self.mlp, w, g, self.task.batch_size) for w, g in zip(self.weights, self.gradients, strict=True)
        ]
        self.present = [rule for rule, _ in groupby(c.rule for c in self.columns)]
        per_rule = [[c.learning_rate for c in group] for _, group in groupby(self.columns, lambda c: c.rule)]
        segments = tuple(torch.Size(shape).numel() for shape in self.mlp.parameter_shapes)
        draws = shared_draws(tuple(self.seeds), segments, self.weights.dtype, self.weights.device)
        programs = [self.programs[rule] for rule in self.present]
        return Rows(programs, per_rule, self.gradients, self.weights, self.updates, segments, draws, self.factors)

    def advance(self, steps: int) -> None:
        """Train all children for so many more steps."""
        for _ in range(steps):
            losses = []
            for seed, order in enumerate(self.orders):
                chosen = order[self.t]
                batch = Batch.of(self.inputs[chosen], self.targets[chosen], self.classes)
                losses.append(self.passes[seed].loss_and_gradient(batch))
            self.rows.step(self.t)
            self.weights.addcmul_(self.updates, self.descents[self.factors[self.t]])  # w <- w - lr u
            self.t += 1
            self._record(torch.stack(losses))

    def _record(self, loss: Tensor) -> None:
        self.losses.add(loss)
        if self.history is not None:
            self.history.append(loss)

    def keep(self, columns: list[int]) -> None:
        """Let all columns but these leave the buffer."""
        if len(columns) == len(self.columns):
            return
        chosen = torch.tensor(columns, dtype=torch.int64, device=self.device)
        before, old_columns, old_present = self.rows, self.columns, self.present
        self.weights = self.weights[:, chosen]
        self.columns = [self.columns[c] for c in columns]
        self.losses.keep(chosen)
        if not self.columns:
            return
        self.rows = self._prepared()
        for position, rule in enumerate(self.present):
            was = old_present.index(rule)
            rates = [c.rate for c in old_columns if c.rule == rule]
            stay = torch.tensor([rates.index(c.rate) for c in self.columns if c.rule == rule], device=self.device)
            for name in self.rows.merged.remembered[position]:
                self.rows.remembered(position, name).copy_(before.remembered(was, name)[:, stay])

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, (seeds, columns) each."""
        there = placed(split, self.device)
        same = Split(there.inputs.flatten(1), there.targets)
        pairs = [one.evaluate(same, self.weights.dtype) for one in self.passes]
        return torch.stack([loss for loss, _ in pairs]), torch.stack([accuracy for _, accuracy in pairs])
