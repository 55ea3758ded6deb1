"""Children one at a time, in plain torch: for any model and any torch optimizer.

The numbers are those of a population, up to the order of float operations: the same weights, batches, draws and halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks import accuracy, build_model, cross_entropy
from neuropt.tasks.task import Split, Task, TaskData
from neuropt.training.children import Column, Losses
from neuropt.training.courses import begin_course

OptimizerFactory = Callable[[Iterable[nn.Parameter], float, int], Optimizer]
"""(parameters, learning rate, seed) -> optimizer"""

EVALUATION_EXAMPLES = 1_000


class _Trainee:
    """One child: model, optimizer, and its own state of torch's generator, for dropout and the like."""

    def __init__(
        self, task: Task, data: TaskData, factory: OptimizerFactory, column: Column, seed: int, schedule: str
    ) -> None:
        self.data, self.batch_size = data, task.batch_size
        self.t = self.examples = 0
        self.loss = 0.0
        self.model = build_model(task, seed).train()
        self.optimizer = factory(self.model.parameters(), column.learning_rate, seed)
        self.course = begin_course(task, len(data.train), self.model, self.optimizer, schedule, seed)
        self.generator = torch.Generator().manual_seed(seed).get_state()

    def step(self) -> float:
        """Do one step of the task's batch size and return the loss before it; a larger batch before may have covered it already."""
        if self.examples < (self.t + 1) * self.batch_size:
            self.loss = self._train(self.course.next_batch())
            self.course.after_step()
        self.t += 1
        return self.loss

    def _train(self, chosen: Tensor) -> float:
        self.examples += len(chosen)
        self.optimizer.zero_grad()
        loss = cross_entropy(self.model(self.data.train.inputs[chosen]), self.data.train.targets[chosen])
        torch.autograd.backward(loss)
        self.optimizer.step()
        return float(loss.detach())

    def advance(self, steps: int, bound: float) -> list[float]:
        """Do so many steps, or as many as it takes to diverge."""
        losses: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.generator)
            while len(losses) < steps and (not losses or losses[-1] <= bound):
                losses.append(self.step())
            self.generator = torch.get_rng_state()
        return losses

    @torch.no_grad()
    def evaluate(self, split: Split) -> tuple[float, float]:
        """Return loss and accuracy on a split, in evaluation mode."""
        self.model.eval()
        loss, right = 0.0, 0.0
        for first in range(0, len(split), EVALUATION_EXAMPLES):
            logits = self.course.predict(split.inputs[first : first + EVALUATION_EXAMPLES])
            targets = split.targets[first : first + EVALUATION_EXAMPLES]
            loss += float(cross_entropy(logits, targets)) * len(targets)
            right += float(accuracy(logits, targets)) * len(targets)
        self.model.train()
        return loss / len(split), right / len(split)


class OneAtATime:
    """Children trained one after the other between two halvings.

    Args:
        task: any.
        data: of the task.
        factories: how to make each rule's optimizer.
        learning_rates: those of each rule.
        seeds: each rule is trained at each of its learning rates on each seed.
        curves: whether to keep the training losses of all steps, in `history`.
        schedule: a name of `neuropt.optimizers.named_schedules`, which every child follows.
    """

    def __init__(
        self,
        task: Task,
        data: TaskData,
        factories: Sequence[OptimizerFactory],
        learning_rates: Sequence[Sequence[float]],
        seeds: Sequence[int],
        curves: bool = False,
        schedule: str = CONSTANT,
    ) -> None:
        self.seeds = list(seeds)
        self.columns = [Column(r, i, lr) for r, rates in enumerate(learning_rates) for i, lr in enumerate(rates)]
        self.losses = Losses(len(self.seeds), len(self.columns), task.loss_bound, torch.device("cpu"))
        self.trainees = [
            [_Trainee(task, data, factories[c.rule], c, s, schedule) for c in self.columns] for s in self.seeds
        ]
        self.history: list[Tensor] | None = [] if curves else None

    def advance(self, steps: int) -> None:
        """Train all children for so many more steps; a diverged one is not trained further."""
        table = torch.full((steps, len(self.seeds), len(self.columns)), torch.nan, dtype=torch.float64)
        for s, row in enumerate(self.trainees):
            for c, trainee in enumerate(row):
                if self.losses.alive[s, c]:
                    losses = trainee.advance(steps, self.losses.bound)
                    table[: len(losses), s, c] = torch.tensor(losses, dtype=torch.float64)
        for loss in table:
            self.losses.add(loss)
        if self.history is not None:
            self.history.extend(table)

    def keep(self, columns: list[int]) -> None:
        """Let all columns but these go."""
        self.trainees = [[row[c] for c in columns] for row in self.trainees]
        self.columns = [self.columns[c] for c in columns]
        self.losses.keep(torch.tensor(columns, dtype=torch.int64))

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, (seeds, columns) each."""
        pairs = torch.tensor(
            [[trainee.evaluate(split) for trainee in row] for row in self.trainees], dtype=torch.float64
        )
        return pairs[..., 0], pairs[..., 1]
