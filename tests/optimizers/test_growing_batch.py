"""Batches that grow where a schedule would lower the rate."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.optim import SGD, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import DataLoader, TensorDataset

from neuropt import create_optimizer
from neuropt.optimizers import GrowingBatch, NoamLR, NormalizedWarmRestarts, SnapshotLR, named_optimizers
from neuropt.tasks import batch_order


def sgd(*rates: Any) -> SGD:
    return SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in rates])


def following(factors: Callable[[int], float], lr: Any = 0.5, **arguments: Any) -> GrowingBatch:
    """A sampler whose schedule gives these factors."""
    return GrowingBatch(LambdaLR(sgd(lr), factors), **arguments)


def stepped(batches: GrowingBatch, count: int) -> list[tuple[int, float]]:
    """Batch size and first group's rate at present and after each of so many steps."""
    seen = []
    for _ in range(count + 1):
        seen.append((batches.batch_size, float(batches.schedule.optimizer.param_groups[0]["lr"])))
        batches.schedule.optimizer.step()
        batches.step()
    return seen


def test_the_papers_wide_resnet() -> None:
    # Smith et al., section 5.1: batches 128, 640, 3200, where lr falls by 5 at each milestone; the third time N/10 = 5000 is the largest,
    # 5000/3200 = 25/16 of the 5 go to the batch and 16/5 are left for the rate
    optimizer = sgd(0.1)
    schedule = lr_scheduler.MultiStepLR(optimizer, milestones=[1, 2, 3], gamma=0.2)
    batches = GrowingBatch(schedule, batch_size=128, examples=50_000)
    found = stepped(batches, 4)
    assert [size for size, _ in found] == [128, 640, 3200, 5000, 5000]
    assert [lr for _, lr in found] == pytest.approx([0.1, 0.1, 0.1, 0.1 * 5 / 16, 0.1 * 5 / 16], rel=1e-12)
    assert schedule.get_last_lr() == pytest.approx([0.1 / 125])


def test_rounding_is_made_up_for_by_the_rate() -> None:
    # b = 10: f = 0.7 asks for 14.29, so 14 at 0.7 * 14/10 = 0.98 of the rate; f = 0.4 for 25 at the rate; f = 0 for the largest, at 0
    batches = following(lambda t: [1.0, 0.7, 0.4, 0.0][t], lr=1.0, batch_size=10, examples=1000)
    found = stepped(batches, 2)
    assert [size for size, _ in found] == [10, 14, 25]
    assert [lr for _, lr in found] == pytest.approx([1.0, 0.98, 1.0])
    assert (batches.batch_size, batches.schedule.optimizer.param_groups[0]["lr"]) == (100, 0.0)


@given(factors=st.lists(st.floats(0.0, 4.0), min_size=2, max_size=8), batch_size=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_rate_over_batch_is_the_schedules(factors: list[float], batch_size: int) -> None:
    optimizer = sgd(0.5, 0.25, torch.tensor(0.125, dtype=torch.float64))
    schedule = LambdaLR(optimizer, lambda t: factors[t])
    batches = GrowingBatch(schedule, batch_size, examples=500, max_batch_size=200)
    peak = factors[0]
    for t, factor in enumerate(factors):
        peak = max(peak, factor)
        for group, base in zip(optimizer.param_groups, (0.5, 0.25, 0.125), strict=True):
            assert float(group["lr"]) / batches.batch_size == pytest.approx(base * factor / batch_size, rel=1e-12)
            assert float(group["lr"]) <= base * peak * (1 + 0.5 / batch_size) + 1e-15
        assert batch_size <= batches.batch_size <= 200
        if t + 1 < len(factors):
            optimizer.step()
            batches.step()


WARM_UPS: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=5),
    "noam": lambda o: NoamLR(o, d_model=64, warmup=5),
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=50, pct_start=0.12, cycle_momentum=False),
}


@pytest.mark.parametrize("warm_up", WARM_UPS.values(), ids=list(WARM_UPS))
def test_a_warm_up_keeps_the_batch_and_its_rates(warm_up: Callable[[Optimizer], LRScheduler]) -> None:
    plain = sgd(0.5)
    schedule = warm_up(plain)
    batches = GrowingBatch(warm_up(sgd(0.5)), batch_size=8, examples=1000)
    for size, lr in stepped(batches, 4):
        assert (size, lr) == (8, plain.param_groups[0]["lr"])
        plain.step()
        schedule.step()


def test_after_the_warm_up_the_largest_rate_counts() -> None:
    # Noam falls with t^-0.5 from its largest at t = warmup = 4: four times as many steps halve the rate, so double the batch
    batches = GrowingBatch(NoamLR(sgd(1.0), d_model=64, warmup=4), batch_size=8, examples=1000)
    found = stepped(batches, 15)
    assert found[3] == pytest.approx((8, 1 / 16))
    assert found[15] == pytest.approx((16, 1 / 16))


def test_a_restart_goes_back_to_the_first_batch() -> None:
    # half a cosine over 3 steps: f = 1, 3/4, 1/4, so 12, 16, 48
    batches = GrowingBatch(NormalizedWarmRestarts(sgd(0.5), T_0=3), batch_size=12, examples=10_000)
    assert [size for size, _ in stepped(batches, 5)] == [12, 16, 48] * 2


def test_of_several_groups_the_slowest_decay_counts() -> None:
    optimizer = sgd(1.0, 1.0)
    schedule = LambdaLR(optimizer, [lambda t: 0.5**t, lambda t: 0.25**t])
    batches = GrowingBatch(schedule, batch_size=10, examples=10_000)
    batches.schedule.optimizer.step()
    batches.step()
    assert batches.batch_size == 20
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5]


def test_a_frozen_group_stays_frozen_and_does_not_count() -> None:
    optimizer = sgd(0.0, 1.0)
    batches = GrowingBatch(lr_scheduler.ExponentialLR(optimizer, gamma=0.5), batch_size=10, examples=10_000)
    optimizer.step()
    batches.step()
    assert (batches.batch_size, [group["lr"] for group in optimizer.param_groups]) == (20, [0.0, 1.0])


def test_a_group_added_later_joins() -> None:
    optimizer = sgd(1.0)
    batches = GrowingBatch(SnapshotLR(optimizer, total_steps=2, cycles=1), batch_size=10, examples=10_000)
    optimizer.add_param_group({"params": [torch.ones(1, requires_grad=True)], "lr": 0.1})
    optimizer.step()
    batches.step()  # f = 1/2 for the old group; the new one is at its largest, so the batch stays
    assert batches.batch_size == 10
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize(
    "schedule",
    [
        lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.3),
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=9),
        lambda o: lr_scheduler.CyclicLR(o, base_lr=0.1, max_lr=0.7, step_size_up=3, cycle_momentum=False),
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 3)]),
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.LinearLR(o), lr_scheduler.ExponentialLR(o, 0.8)], [3]),
    ],
)
def test_the_schedule_goes_its_own_way(schedule: Callable[[Optimizer], Any]) -> None:
    """Many of torch's reckon the next rate from the group's, which must not be the one that goes with the grown batch."""
    plain = sgd(0.5)
    alone, batches = schedule(plain), GrowingBatch(schedule(sgd(0.5)), batch_size=4, examples=80)
    for _ in range(8):
        plain.step()
        alone.step()
        batches.schedule.optimizer.step()
        batches.step()
        assert batches.schedule.get_last_lr() == alone.get_last_lr()
        assert batches.schedule.optimizer.param_groups[0]["lr"] * 4 / batches.batch_size == pytest.approx(
            alone.get_last_lr()[0]
        )


def test_a_plateau_takes_its_metric() -> None:
    optimizer = sgd(0.5)
    batches = GrowingBatch(
        lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0), batch_size=4, examples=800
    )
    for loss in (1.0, 2.0):
        optimizer.step()
        batches.step(loss)
    assert (batches.batch_size, optimizer.param_groups[0]["lr"]) == (8, 0.5)


def test_without_growth_these_are_the_batches_of_children() -> None:
    batches = following(lambda _: 1.0, batch_size=7, examples=50, seed=5)
    drawn = [batch for _ in range(3) for batch in batches]
    assert len(drawn) == 3 * len(batches) == 21
    assert drawn == batch_order(n_train=50, batch_size=7, steps=21, seed=5).tolist()
    assert next(iter(following(lambda _: 1.0, batch_size=7, examples=50, seed=6))) != drawn[0]


def test_inside_an_epoch_the_permutation_goes_on() -> None:
    batches = following(lambda t: 0.5**t, batch_size=3, examples=40, max_batch_size=40)
    epoch = []
    for batch in batches:  # 3, 6, 12, and 19 are too few for 24
        epoch.append(batch)
        batches.schedule.optimizer.step()
        batches.step()
    assert [len(batch) for batch in epoch] == [3, 6, 12]
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    assert [example for batch in epoch for example in batch] == order[:21]


def test_a_loop_that_is_left_goes_on_but_one_that_ended_does_not() -> None:
    factors = [1.0, 0.25, 1.0]
    batches = following(lambda t: factors[t], batch_size=5, examples=30, max_batch_size=30)
    first = next(iter(batches))
    rest = [example for batch in batches for example in batch]
    assert sorted(first + rest) == list(range(30))
    batches.schedule.optimizer.step()
    batches.step()
    assert [len(batch) for batch in batches] == [20]  # 10 are dropped
    batches.step()
    assert [len(batch) for batch in batches] == [5] * 6  # a new epoch, not the 10


def test_a_schedule_of_steps_ends_after_as_many_examples() -> None:
    # 40 steps of 10, halved after every 100 examples: 10 steps of 10, 5 of 20, 3 of 40 (the third ends at 320, beyond 300) and one of 80
    schedule = lr_scheduler.StepLR(sgd(0.5), step_size=10, gamma=0.5)
    batches = GrowingBatch(schedule, batch_size=10, examples=2000, max_batch_size=2000)
    sizes: list[int] = []
    while sum(sizes) < 400:
        sizes.append(len(next(iter(batches))))
        schedule.optimizer.step()
        batches.advance(sizes[-1])
    assert sizes == [10] * 10 + [20] * 5 + [40] * 3 + [80]
    assert schedule.last_epoch == sum(sizes) // 10
    batches.advance(5)
    batches.advance(4)
    assert schedule.last_epoch == sum(sizes) // 10
    batches.advance(1)
    assert schedule.last_epoch == sum(sizes) // 10 + 1


INPUTS = torch.randn(37, 3, generator=torch.Generator().manual_seed(1))
TARGETS = INPUTS @ torch.tensor([[1.0], [-2.0], [0.5]])


class Training:
    """A linear regression with growing batches, stopped and started anywhere."""

    def __init__(self, name: str, seed: int = 0, batch_size: int = 4) -> None:
        self.w = torch.zeros(3, 1, requires_grad=True)
        hyper = named_optimizers()[name].arguments(lr=0.02, steps=40)
        self.optimizer = create_optimizer(name, [self.w], **hyper)
        schedule = lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=40)
        self.batches = GrowingBatch(schedule, batch_size, examples=37, max_batch_size=16, seed=seed)
        self.loader = DataLoader(TensorDataset(INPUTS, TARGETS), batch_sampler=self.batches)

    def run(self, count: int) -> list[tuple[list[Any], float, int]]:
        seen: list[tuple[list[Any], float, int]] = []
        while len(seen) < count:
            for inputs, targets in self.loader:
                self.optimizer.zero_grad()
                torch.autograd.backward(((inputs @ self.w - targets) ** 2).mean())
                self.optimizer.step()
                self.batches.advance(len(inputs))
                seen.append((self.w.tolist(), self.optimizer.param_groups[0]["lr"], len(inputs)))
                if len(seen) == count:
                    break
        return seen

    def state(self) -> list[Any]:
        return [self.w.detach().clone(), self.optimizer.state_dict(), self.batches.state_dict()]

    def load(self, state: list[Any]) -> None:
        self.w.data.copy_(state[0])
        self.optimizer.load_state_dict(state[1])
        self.batches.load_state_dict(state[2])


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize(
    ("name", "cut"), [(name, 12) for name in named_optimizers()] + [("adamw", x) for x in (0, 1, 9, 10)]
)
def test_every_optimizer_goes_on_to_the_last_bit(name: str, cut: int) -> None:
    training, other = Training(name), Training(name, seed=9, batch_size=5)
    training.run(cut)
    saved = through_a_file(training.state())
    other.load(saved)
    after = training.run(10)
    assert other.run(10) == after
    assert len({size for _, _, size in after}) > 1 or cut < 2
    assert all(math.isfinite(x) for (w, _, _) in after for (x,) in w)


def test_a_state_can_be_loaded_twice_and_is_not_shared() -> None:
    training = Training("momentum")
    training.run(5)
    state = training.batches.state_dict()
    twins = [Training("momentum"), Training("momentum")]
    drawn = []
    for twin in twins:
        twin.batches.load_state_dict(state)
        drawn.append([next(iter(twin.batches)) for _ in range(12)])
    assert drawn[0] == drawn[1] == [next(iter(training.batches)) for _ in range(12)]


def test_a_cyclic_schedules_state_can_be_loaded_twice() -> None:
    def cycling() -> GrowingBatch:
        cyclic = lr_scheduler.CyclicLR(sgd(0.5), base_lr=0.1, max_lr=0.7, step_size_up=3, cycle_momentum=False)
        return GrowingBatch(cyclic, batch_size=4, examples=800)

    original = cycling()
    stepped(original, 4)
    state = original.state_dict()
    twins = [cycling(), cycling()]
    for twin in twins:
        twin.load_state_dict(state)
        twin.schedule.optimizer.step()
    after = stepped(original, 4)
    assert [stepped(twin, 4) for twin in twins] == [after, after]


def test_an_old_loop_ends_where_a_new_epoch_has_begun() -> None:
    batches = following(lambda _: 1.0, batch_size=5, examples=30)
    old = iter(batches)
    drawn = [next(old), *batches]
    new = next(iter(batches))
    assert list(old) == []
    assert sorted(example for batch in drawn for example in batch) == list(range(30))
    assert sorted(example for batch in [new, *batches] for example in batch) == list(range(30))


def test_loading_a_state_restores_the_rate_too() -> None:
    training, other = Training("momentum"), Training("momentum")
    training.run(10)
    other.batches.load_state_dict(training.batches.state_dict())
    assert other.optimizer.param_groups[0]["lr"] == training.optimizer.param_groups[0]["lr"] != 0.02


def test_a_tensor_rate_is_written_in_place() -> None:
    lr = torch.tensor(0.5)
    optimizer = SGD([torch.ones(1, requires_grad=True)], lr=lr)
    batches = GrowingBatch(lr_scheduler.ExponentialLR(optimizer, gamma=0.1), batch_size=4, examples=80)
    optimizer.step()
    batches.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == pytest.approx(0.5 * 0.1 * 8 / 4)


def test_stepping_the_schedule_itself_is_noticed() -> None:
    schedule = lr_scheduler.StepLR(sgd(0.5), step_size=30)
    batches = GrowingBatch(schedule, batch_size=4, examples=80)
    schedule.optimizer.step()
    schedule.step()
    with pytest.raises(RuntimeError, match=r"call step\(\) or advance\(\) of the GrowingBatch"):
        next(iter(batches))
    with pytest.raises(RuntimeError, match="stepped or loaded on its own"):
        batches.step()


def test_the_largest_batch() -> None:
    assert following(lambda _: 1.0, batch_size=4, examples=85).max_batch_size == 8  # N/10
    assert following(lambda _: 1.0, batch_size=40, examples=85).max_batch_size == 40  # never below the first
    assert following(lambda _: 1.0, batch_size=4, examples=85, max_batch_size=85).max_batch_size == 85


FAULTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"batch_size": 0}, ValueError, r"GrowingBatch\(batch_size=...\) must be between 1 and examples = 80, but got 0"),
    ({"batch_size": 81}, ValueError, r"batch_size=...\).*81"),
    ({"batch_size": 4.0}, TypeError, r"batch_size=...\).*4.0"),
    ({"examples": 0}, ValueError, r"examples=...\).*0"),
    (
        {"max_batch_size": 3},
        ValueError,
        r"max_batch_size=...\) must be between batch_size = 4 and examples = 80, but got 3",
    ),
    ({"max_batch_size": 81}, ValueError, r"max_batch_size=...\).*81"),
    ({"seed": 0.5}, TypeError, r"seed=...\).*0.5"),
    ({"schedule": math.cos}, TypeError, r"schedule=...\) must be a torch scheduler.*LambdaLR\(optimizer, function\)"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), FAULTS, ids=str)
def test_a_bad_argument_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"schedule": LambdaLR(sgd(0.5), lambda _: 1.0), "batch_size": 4, "examples": 80}
    with pytest.raises(error, match=message):
        GrowingBatch(**good | arguments)


def test_bad_states_and_counts_are_refused() -> None:
    batches = following(lambda _: 1.0, batch_size=4, examples=80)
    with pytest.raises(
        ValueError, match=r"GrowingBatch\(examples=...\) must be 80 as in the state to load, but got 90"
    ):
        following(lambda _: 1.0, batch_size=4, examples=90).load_state_dict(batches.state_dict())
    with pytest.raises(ValueError, match=r"advance\(examples=...\).*-1"):
        batches.advance(-1)
    with pytest.raises(TypeError, match=r"advance\(examples=...\)"):
        batches.advance(Tensor([1]))  # type: ignore[arg-type]  # what is refused
