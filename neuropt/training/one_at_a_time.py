"""Children one at a time, in plain torch: for any model and any torch optimizer.

The numbers are those of a population, up to the order of float operations: the same weights, batches, draws and halving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from neuropt.optimizers.named_schedules import CONSTANT
from neuropt.tasks import build_model, measure
from neuropt.tasks.task import Split, Task, TaskData
from neuropt.training.children import Column, Losses
from neuropt.training.courses import begin_course
from neuropt.training.devices import CPU, Generator, placed, sent
from neuropt.training.precision import Precision, logits_of

OptimizerFactory = Callable[[Iterable[nn.Parameter], float, int], Optimizer]
"""(parameters, learning rate, seed) -> optimizer"""

EVALUATION_EXAMPLES = 1_000


class _Trainee:
    """One child: model, optimizer, and its own state of torch's generator, for dropout and the like."""

    def __init__(
        self,
        task: Task,
        train: Split,
        factory: OptimizerFactory,
        column: Column,
        seed: int,
        schedule: str,
        precision: Precision,
    ) -> None:
        self.train, self.batch_size, self.task = train, task.batch_size, task
        self.precision: Precision = precision
        self.t = self.examples = 0
        device = train.inputs.device
        self.loss = torch.full((), torch.nan, device=device)
        self.model = build_model(task, seed).train().to(device)
        self.optimizer = factory(self.model.parameters(), column.learning_rate, seed)
        self.course = begin_course(task, len(train), self.model, self.optimizer, schedule, seed)
        self.generator = Generator(seed, device)

    def step(self) -> Tensor:
        """Do one step of the task's batch size and return the loss before it; a larger batch before may have covered it already."""
        if self.examples < (self.t + 1) * self.batch_size:
            self.loss = self._train(sent(self.course.next_batch(), self.loss.device))
            self.course.after_step()
        self.t += 1
        return self.loss

    def _train(self, chosen: Tensor) -> Tensor:
        self.examples += len(chosen)
        self.optimizer.zero_grad()
        logits = logits_of(self.model, self.train.inputs[chosen], self.precision)
        loss = self.task.loss(logits, self.train.targets[chosen])
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def advance(self, steps: int) -> Tensor:
        """Do so many steps and return the losses, (steps,); no number is read back from the device meanwhile."""
        with self.generator.used():
            return torch.stack([self.step() for _ in range(steps)])

    @torch.no_grad()
    def evaluate(self, split: Split) -> tuple[float, float]:
        """Return loss and accuracy on a split on the child's device, in evaluation mode."""
        self.model.eval()
        loss, right = 0.0, 0.0
        for first in range(0, len(split), EVALUATION_EXAMPLES):
            logits = logits_of(self.course.predict, split.inputs[first : first + EVALUATION_EXAMPLES], self.precision)
            targets = split.targets[first : first + EVALUATION_EXAMPLES]
            found, share = measure(self.task.loss, self.task.metric, logits[None, None], targets)
            loss += found.item() * len(targets)
            right += share.item() * len(targets)
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
        device: where.
        precision: of forward and backward passes.
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
        device: torch.device = CPU,
        precision: Precision = "float32",
    ) -> None:
        self.seeds, self.device = list(seeds), device
        self.columns = [Column(r, i, lr) for r, rates in enumerate(learning_rates) for i, lr in enumerate(rates)]
        self.losses = Losses(len(self.seeds), len(self.columns), task.loss_bound, device)
        train = placed(data.train, device)
        self.trainees = [
            [_Trainee(task, train, factories[c.rule], c, s, schedule, precision) for c in self.columns]
            for s in self.seeds
        ]
        self.history: list[Tensor] | None = [] if curves else None

    def advance(self, steps: int) -> None:
        """Train all children for so many more steps, but for those that had diverged before."""
        shape = (steps, len(self.seeds), len(self.columns))
        table = torch.full(shape, torch.nan, dtype=torch.float64, device=self.device)
        alive = self.losses.alive.tolist()  # once for all steps
        for s, row in enumerate(self.trainees):
            for c, trainee in enumerate(row):
                if alive[s][c]:
                    table[:, s, c] = trainee.advance(steps)
        for loss in table:
            self.losses.add(loss)
        if self.history is not None:
            self.history.extend(table)

    def keep(self, columns: list[int]) -> None:
        """Let all columns but these go."""
        self.trainees = [[row[c] for c in columns] for row in self.trainees]
        self.columns = [self.columns[c] for c in columns]
        self.losses.keep(torch.tensor(columns, dtype=torch.int64, device=self.device))

    def evaluate(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return loss and accuracy on a split, (seeds, columns) each."""
        there = placed(split, self.device)
        pairs = torch.tensor(
            [[trainee.evaluate(there) for trainee in row] for row in self.trainees], dtype=torch.float64
        )
        return pairs[..., 0], pairs[..., 1]
