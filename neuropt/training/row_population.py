"""Children of any model whose weights are rows of one buffer: the rules of all rows take one step together, whatever the passes are.

Weights, gradients and updates are (seeds, columns, P), as in `Population`; how forward and backward passes are done is the form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor

from neuropt.compiling.program import Program
from neuropt.optimizers.named_schedules import CONSTANT, rate_factors
from neuropt.tasks import batch_order, measure
from neuropt.tasks.task import Split, Task, TaskData
from neuropt.training.children import Column, Losses
from neuropt.training.devices import CPU, placed
from neuropt.training.forms import Form
from neuropt.training.merging import order_for_sharing
from neuropt.training.one_at_a_time import EVALUATION_EXAMPLES
from neuropt.training.passes import passes_of
from neuropt.training.population_draws import shared_draws
from neuropt.training.precision import Precision
from neuropt.training.rows import Rows

NHWC_FORMS = ("channels-last", "compiled")
"""Forms whose images are in memory as (height, width, channels)."""


class RowPopulation:
    """Children in rows.

    Args:
        task: with a model that `neuropt.training.forms.why_no_rows` has nothing against.
        data: of the task.
        programs: the rules.
        learning_rates: those of each rule.
        seeds: each rule is trained at each of its learning rates on each seed.
        form: one of `neuropt.training.forms.ROW_FORMS`.
        device: where.
        precision: of the passes.
        curves: whether to keep the training losses of all steps, in `history`.
        schedule: a name of `neuropt.optimizers.named_schedules` that moves lr alone, which every child follows.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        programs: Sequence[Program],
        learning_rates: Sequence[Sequence[float]],
        seeds: Sequence[int],
        form: Form = "rows",
        device: torch.device = CPU,
        precision: Precision = "float32",
        curves: bool = False,
        schedule: str = CONSTANT,
    ) -> None:
        self.task, self.programs, self.seeds, self.device, self.form = task, programs, list(seeds), device, form
        order = order_for_sharing(programs)
        self.columns = [Column(r, i, lr) for r in order for i, lr in enumerate(learning_rates[r])]
        self.train = placed(data.train, device)
        self.orders = [batch_order(len(data.train), task.batch_size, task.steps, seed).to(device) for seed in seeds]
        self.passes = [passes_of(form, task, seed, len(self.columns), device, precision) for seed in seeds]
        self.weights = torch.stack([passes.first_row().repeat(len(self.columns), 1) for passes in self.passes])
        self.losses = Losses(len(self.seeds), len(self.columns), task.loss_bound, device)
        self.history: list[Tensor] | None = [] if curves else None
        self.t = 0
        self.factors = rate_factors(schedule, task.steps)
        self.rows = self._prepared()

    def _prepared(self) -> Rows:
        """Prepare passes and rules for the present columns."""
        self.gradients, self.updates = torch.empty_like(self.weights), torch.empty_like(self.weights)
        for passes, weights, gradients in zip(self.passes, self.weights, self.gradients, strict=True):
            passes.bind(weights, gradients)
        rates = torch.tensor([[-c.learning_rate] for c in self.columns], dtype=torch.float64)  # (columns, 1)
        self.descents = {f: (f * rates).to(self.weights) for f in dict.fromkeys(self.factors[self.t :])}
        self.present = [rule for rule, _ in groupby(c.rule for c in self.columns)]
        per_rule = [[c.learning_rate for c in group] for _, group in groupby(self.columns, lambda c: c.rule)]
        segments = tuple(shape.numel() for shape in self.passes[0].shapes)
        draws = shared_draws(tuple(self.seeds), segments, self.weights.dtype, self.device)
        programs = [self.programs[rule] for rule in self.present]
        return Rows(programs, per_rule, self.gradients, self.weights, self.updates, segments, draws, self.factors)

    def advance(self, steps: int) -> None:
        """Train all children for so many more steps; nothing is read back from the device meanwhile."""
        for _ in range(steps):
            losses = [
                p.loss_and_gradient(*self._batch(o[self.t])) for p, o in zip(self.passes, self.orders, strict=True)
            ]
            self.rows.step(self.t)
            self.weights.addcmul_(self.updates, self.descents[self.factors[self.t]])  # w <- w - lr u
            self.t += 1
            self.losses.add(torch.stack(losses))
            if self.history is not None:
                self.history.append(torch.stack(losses))

    def _batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return self._arranged(self.train.inputs[chosen]), self.train.targets[chosen]

    def _arranged(self, inputs: Tensor) -> Tensor:
        is_image = inputs.ndim == 4
        return inputs.to(memory_format=torch.channels_last) if is_image and self.form in NHWC_FORMS else inputs

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
        for passes in self.passes:
            passes.keep(columns)
        self.rows = self._prepared()
        self.rows.take_over(before, old_columns, self.columns)

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, (seeds, columns) each."""
        there = placed(split, self.device)
        loss = torch.zeros(len(self.seeds), len(self.columns), dtype=torch.float64, device=self.device)
        right = torch.zeros_like(loss)
        for first in range(0, len(split), EVALUATION_EXAMPLES):
            inputs = self._arranged(there.inputs[first : first + EVALUATION_EXAMPLES])
            targets = there.targets[first : first + EVALUATION_EXAMPLES]
            logits = torch.stack([passes.logits(inputs) for passes in self.passes])
            found, shares = measure(self.task.loss, self.task.metric, logits, targets)
            loss += found * len(targets)
            right += shares * len(targets)
        return loss / len(split), right / len(split)
