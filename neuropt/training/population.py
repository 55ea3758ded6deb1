"""A population: children of many rules, learning rates, seeds and data sets, trained in one flat buffer.

Weights, gradients and updates are (seeds, columns, P). A step is one batched pass a seed, one set of calls for the rules of all rows, and
one `w <- w - lr u` for everything. Children that lose or diverge leave the buffer, which shrinks. Each seed may have data of its own, so
that tasks of one shape train together (`neuropt.training.several_tasks`).
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
        data: of the task; or one for each seed, which may then come more than once.
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
        data: TaskData | Sequence[TaskData],
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
        self.device = device
        trains = [data.train] * len(seeds) if isinstance(data, TaskData) else [one.train for one in data]
        there = [placed(train, device) for train in trains]
        self.examples = [(train.inputs.flatten(1).to(dtype), train.targets) for train in there]
        self.classes = self.mlp.sizes[-1]
        pairs = zip(trains, seeds, strict=True)
        self.orders = [batch_order(len(train), task.batch_size, task.steps, seed).to(device) for train, seed in pairs]
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
        # -lr of every element: a column that addcmul_ has to spread takes it three times as long
        self.descent, self.factor = torch.empty_like(self.weights[0]), float("nan")
        self.passes = [
            BatchedMLP(self.mlp, w, g, self.task.batch_size) for w, g in zip(self.weights, self.gradients, strict=True)
        ]
        self.present = [rule for rule, _ in groupby(c.rule for c in self.columns)]
        per_rule = [[c.learning_rate for c in group] for _, group in groupby(self.columns, lambda c: c.rule)]
        segments = tuple(torch.Size(shape).numel() for shape in self.mlp.parameter_shapes)
        draws = shared_draws(tuple(self.seeds), segments, self.weights.dtype, self.weights.device)
        programs = [self.programs[rule] for rule in self.present]
        return Rows(programs, per_rule, self.gradients, self.weights, self.updates, segments, draws, self.factors)

    @torch.inference_mode()  # nothing here is differentiated, and a call takes a tenth less time
    def advance(self, steps: int) -> None:
        """Train all children for so many more steps."""
        losses = self.weights.new_empty(steps, len(self.seeds), len(self.columns))
        for loss in losses:
            for seed, (order, (inputs, targets)) in enumerate(zip(self.orders, self.examples, strict=True)):
                chosen = order[self.t]
                batch = Batch.of(inputs[chosen], targets[chosen], self.classes)
                loss[seed] = self.passes[seed].loss_and_gradient(batch)
            self.rows.step(self.t)
            self._descend()
            self.t += 1
        self.losses.extend(losses)
        if self.history is not None:
            self.history.extend(losses)

    def _descend(self) -> None:
        """w <- w - lr u."""
        if self.factors[self.t] != self.factor:
            self.factor = self.factors[self.t]
            self.descent.copy_(self.descents[self.factor].expand_as(self.descent))
        self.weights.addcmul_(self.updates, self.descent)

    def keep(self, columns: list[int]) -> None:
        """Let all columns but these leave the buffer."""
        if len(columns) == len(self.columns):
            return
        chosen = torch.tensor(columns, dtype=torch.int64, device=self.device)
        before, old_columns = self.rows, self.columns
        self.weights = self.weights[:, chosen]
        self.columns = [self.columns[c] for c in columns]
        self.losses.keep(chosen)
        if not self.columns:
            return
        self.rows = self._prepared()
        self.rows.take_over(before, old_columns, self.columns)

    def evaluate(self, split: Split | Sequence[Split]) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, or on one for each seed: (seeds, columns) each."""
        splits = [split] * len(self.seeds) if isinstance(split, Split) else split
        there = [placed(one, self.device) for one in splits]
        pairs = [
            passes.evaluate(Split(one.inputs.flatten(1), one.targets), self.weights.dtype)
            for passes, one in zip(self.passes, there, strict=True)
        ]
        return torch.stack([loss for loss, _ in pairs]), torch.stack([accuracy for _, accuracy in pairs])
