"""Growing batches: where a schedule divides the learning rate, multiply the batch instead.

    schedule = MultiStepLR(optimizer, milestones=[60, 120, 160], gamma=0.2)      # any schedule of torch or of ours
    batches = GrowingBatch(schedule, batch_size=128, examples=len(data))
    loader = DataLoader(data, batch_sampler=batches)
    for epoch in range(200):
        for inputs, targets in loader:
            ...                                                                  # zero_grad, forward, backward, optimizer.step()
        batches.step()                                                           # in the place of schedule.step()

With 50,000 examples the batches are 128, 640, 3200 and 5000: five times as many twice, then a tenth of the data, and lr falls by the
3.2 that is left over. lr / batch is what the schedule alone would make it, at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Sampler

from neuropt.optimizers.arguments import check_integer


class GrowingBatch(Sampler[list[int]]):
    """Draw batches that grow by the factor that a schedule would divide the learning rate by, up to a largest batch.

    B = min(round(b / f), max_batch_size),  f = lr / (largest lr so far)             lr <- lr B / b

    lr is the schedule's own, b the first batch. f is measured against the largest rate so far, so that a warm-up stays at the batch b and
    its own rates, whatever it starts from, and a warm restart goes back to b. Where B is rounded or at its largest the rate makes up for
    it: lr / B is always the schedule's lr / b, in every group. Of several groups the largest f counts, so that no group's rate grows. At
    f <= 0 (the end of a cosine) the batch is the largest.

    Epochs are seeded permutations cut into whole batches; where the batch grows inside an epoch the permutation goes on, and what is too
    little for a batch at its end is dropped. So no example comes twice in an epoch. With an unchanging batch these are the batches that
    children see (`neuropt.tasks.batch_order`). A loop that is left early goes on with the rest of its epoch in the next loop.

    A schedule of epochs is stepped by `step()` after each epoch. A schedule of steps was planned for batches of b; `advance(n)` after each
    batch of n examples steps it once for every b examples, so that it ends after as many examples as planned, in fewer steps.

    Args:
        schedule: a scheduler of torch or of ours, new; a function of the step is `torch.optim.lr_scheduler.LambdaLR(optimizer, function)`.
            From now on only `step` and `advance` step it.
        batch_size: the first and smallest batch b.
        examples: number of training examples N.
        max_batch_size: the largest batch; None is N/10, rounded down, where that is above `batch_size`.
        seed: of the permutations.

    A DataLoader with workers draws a few batches ahead of the training, so that a size changes that much later, and what was drawn ahead
    is lost to a loop that is left or saved early; with workers, step and save between epochs.

    Raises:
        TypeError: for an argument of another type.
        ValueError: for one out of range.
        RuntimeError: for the next batch or `step`, where the schedule was stepped behind the sampler's back.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.5)
        >>> schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
        >>> batches = GrowingBatch(schedule, batch_size=2, examples=60)
        >>> for _ in range(3):
        ...     print([len(batch) for batch in batches][:3], optimizer.param_groups[0]["lr"])
        ...     optimizer.step()
        ...     batches.step()
        [2, 2, 2] 0.5
        [4, 4, 4] 0.5
        [6, 6, 6] 0.375

    Source: Smith, Kindermans, Ying, Le, "Don't Decay the Learning Rate, Increase the Batch Size", ICLR 2018 (arXiv 2017).
    """

    def __init__(
        self, schedule: LRScheduler, batch_size: int, examples: int, max_batch_size: int | None = None, seed: int = 0
    ) -> None:
        if not isinstance(schedule, LRScheduler):
            raise TypeError(
                f"GrowingBatch(schedule=...) must be a torch scheduler, but got {schedule!r}; a function of the step is "
                f"torch.optim.lr_scheduler.LambdaLR(optimizer, function)."
            )
        check_integer("GrowingBatch(examples=...)", examples, low=1)
        _check_batch("batch_size", batch_size, 1, examples)
        if max_batch_size is not None:
            _check_batch("max_batch_size", max_batch_size, batch_size, examples)
        check_integer("GrowingBatch(seed=...)", seed)
        self.schedule, self.first_batch_size, self.examples = schedule, batch_size, examples
        self.max_batch_size = max(batch_size, examples // 10) if max_batch_size is None else max_batch_size
        self.batch_size = batch_size
        """The present batch."""
        self._peaks = [float(lr) for lr in schedule.get_last_lr()]  # the largest rate of each group so far
        self._trained = 0  # examples since the schedule was stepped by `advance`
        self._generator = torch.Generator().manual_seed(seed)
        self._epoch_start = self._generator.get_state()
        self._order = torch.empty(0, dtype=torch.int64)  # the present epoch's permutation, and how much of it is drawn
        self._drawn = 0
        self._last_epoch = _last_epoch(schedule)

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch at the present size."""
        return self.examples // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        """Draw the batches of an epoch, or of what is left of one."""
        if len(self._order) - self._drawn < self.batch_size:
            self._epoch_start = self._generator.get_state()
            self._order, self._drawn = torch.randperm(self.examples, generator=self._generator), 0
        order = self._order
        while order is self._order and len(order) - self._drawn >= self.batch_size:
            self._check_schedule()
            first, self._drawn = self._drawn, self._drawn + self.batch_size
            yield order[first : self._drawn].tolist()
        if order is self._order:
            self._drawn = len(order)  # the rest is dropped, also where the batch shrinks before the next loop

    def step(self, *args: Any) -> None:
        """Step the schedule, with what its own `step` takes, and write the batch and the rates that follow."""
        self._check_schedule()
        _write_rates(self.schedule, 1.0)  # many a schedule reckons from the group's lr, which must be its own
        self.schedule.step(*args)
        self._last_epoch = _last_epoch(self.schedule)
        rates = [float(lr) for lr in self.schedule.get_last_lr()]
        self._peaks += rates[len(self._peaks) :]  # of groups that were added
        self._peaks = [max(peak, lr) for peak, lr in zip(self._peaks, rates, strict=True)]
        f = max((lr / peak for lr, peak in zip(rates, self._peaks, strict=True) if peak > 0), default=1.0)
        grown = self.first_batch_size / f if f > 0 else float("inf")
        self.batch_size = round(min(grown, self.max_batch_size))
        _write_rates(self.schedule, self.batch_size / self.first_batch_size)

    def advance(self, examples: int) -> None:
        """Step a schedule of steps once for every `batch_size` examples trained on, the first batch's size; the rest is kept for later.

        Raises:
            TypeError: for a number that is no integer.
            ValueError: for a negative one.
        """
        check_integer("GrowingBatch.advance(examples=...)", examples, low=0)
        self._trained += examples
        while self._trained >= self.first_batch_size:
            self._trained -= self.first_batch_size
            self.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state, the schedule's included; `torch.load(..., weights_only=True)` takes it."""
        return {
            "schedule": self.schedule.state_dict(),
            "examples": self.examples,
            "first_batch_size": self.first_batch_size,
            "max_batch_size": self.max_batch_size,
            "batch_size": self.batch_size,
            "peaks": list(self._peaks),
            "trained": self._trained,
            "epoch_start": self._epoch_start.clone(),
            "epoch_begun": len(self._order) > 0,
            "drawn": self._drawn,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, its batch sizes and its schedule included: the next batch is the one that would have come.

        Raises:
            ValueError: for the state of another number of examples.
        """
        if state_dict["examples"] != self.examples:
            raise ValueError(
                f"GrowingBatch(examples=...) must be {state_dict['examples']} as in the state to load, but got {self.examples}."
            )
        self.schedule.load_state_dict(dict(state_dict["schedule"]))  # torch's CyclicLR takes a key out of what it loads
        self._last_epoch = _last_epoch(self.schedule)
        self.first_batch_size, self.max_batch_size = state_dict["first_batch_size"], state_dict["max_batch_size"]
        self.batch_size, self._trained = state_dict["batch_size"], state_dict["trained"]
        self._peaks = list(state_dict["peaks"])
        self._epoch_start, self._drawn = state_dict["epoch_start"].clone(), state_dict["drawn"]
        self._generator.set_state(self._epoch_start)
        begun = self.examples if state_dict["epoch_begun"] else 0
        self._order = torch.randperm(begun, generator=self._generator)
        _write_rates(self.schedule, self.batch_size / self.first_batch_size)

    def _check_schedule(self) -> None:
        if _last_epoch(self.schedule) != self._last_epoch:
            raise RuntimeError(
                "the schedule of a GrowingBatch was stepped or loaded on its own; call step() or advance() of the GrowingBatch in the "
                "place of the schedule's step()."
            )


def _check_batch(name: str, value: Any, low: int, examples: int) -> None:
    check_integer(f"GrowingBatch({name}=...)", value)
    if not low <= value <= examples:
        least = "1" if name == "batch_size" else f"batch_size = {low}"
        raise ValueError(
            f"GrowingBatch({name}=...) must be between {least} and examples = {examples}, but got {value}."
        )


def _last_epoch(schedule: LRScheduler) -> int | None:
    return getattr(schedule, "last_epoch", None)  # ChainedScheduler has none


def _write_rates(schedule: LRScheduler, factor: float) -> None:
    """Give each group that the schedule knows already its own rate times a factor."""
    for group, lr in zip(schedule.optimizer.param_groups, schedule.get_last_lr(), strict=False):
        value = lr * factor
        if isinstance(group["lr"], Tensor):
            group["lr"].copy_(value) if isinstance(value, Tensor) else group["lr"].fill_(value)
        else:
            group["lr"] = value.item() if isinstance(value, Tensor) else value
