"""Tasks, splits, models and batches."""

from __future__ import annotations

import doctest
import importlib
import pickle
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

import neuropt.tasks
from neuropt.tasks import (
    MLP,
    Split,
    Task,
    TaskData,
    accuracy,
    batch_order,
    build_model,
    cross_entropy,
    get_task,
    hash_tensors,
    initial_weights,
    load_task_data,
    register_task,
    registry,
    tasks,
)

CLASSIFIERS = ["digits-mlp", "signals-mlp", "mnist-mlp", "mnist-lenet", "cifar10-convnet"]
SHIPPED = [task.name for task in registry.SHIPPED]


def numbered(first: int, count: int) -> Split:
    rows = torch.arange(first, first + count).float()
    return Split(torch.stack([rows, -rows], dim=1), torch.arange(first, first + count) % 2)


def load_numbers(data_dir: Path | None) -> TaskData:
    return TaskData.of(numbered(0, 20), numbered(20, 6), numbered(26, 6))


def small_task(**changes: Any) -> Task:
    task = Task("my-task", "two inputs, two classes", "toy", load_numbers, MLP((2, 3, 2)), batch_size=4, steps=10)
    return replace(task, **changes)


def test_shipped_tasks() -> None:
    assert next(iter(tasks())) == "digits-mlp"
    assert set(CLASSIFIERS) <= set(tasks())
    digits = get_task("digits-mlp")
    assert digits.model == MLP((64, 32, 10), "relu")
    assert (digits.batch_size, digits.steps, digits.halving) == (64, 150, ((25, 4), (75, 2)))
    assert (digits.worst_reward, digits.best_reward) == (0.0, 1.0)
    assert get_task("mnist-mlp").model == MLP((784, 20, 10), "sigmoid")
    cifar = get_task("cifar10-convnet")
    assert (cifar.batch_size, cifar.steps, cifar.halving) == (100, 5 * 45_000 // 100, ((100, 1),))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_shipped_tasks_survive_pickling_and_have_a_model(name: str) -> None:
    task = pickle.loads(pickle.dumps(get_task(name)))
    assert task == get_task(name)
    inputs = {
        "digits-mlp": (64,),
        "signals-mlp": (40,),
        "mnist-mlp": (784,),
        "mnist-lenet": (1, 28, 28),
        "cifar10-convnet": (3, 32, 32),
    }
    assert build_model(task, seed=0)(torch.zeros(2, *inputs[name])).shape == (2, 10)


def test_digits_are_complete_disjoint_and_always_the_same() -> None:
    data = load_task_data(get_task("digits-mlp"))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1_000, 397, 400]
    pixels = torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs])
    assert len({tuple(row) for row in pixels.tolist()}) == 1_797
    assert (pixels.min().item(), pixels.max().item()) == (0, 1)
    assert all(set(split.targets.tolist()) == set(range(10)) for split in (data.train, data.validation, data.test))
    assert data.sha256 == "40e5e8bbdfeebd9e59a839652f1d0b88a6fdce71eb8f3e7267c7d55061256029"


def test_signals_are_balanced_disjoint_and_the_same_on_every_machine() -> None:
    data = load_task_data(get_task("signals-mlp"))
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [2_000, 1_000, 1_000]
    assert all(torch.bincount(split.targets).tolist() == [len(split) // 10] * 10 for split in splits)
    samples = torch.cat([split.inputs for split in splits])
    assert torch.equal(samples * 1024, (samples * 1024).round())  # so that last bits of sines do not matter
    assert data.sha256 == "4c7ae0303030bd65547a83dc5dbc3bdf9373fcbc826daa80d24da7d344b1d583"


def test_signals_of_a_class_have_something_in_common() -> None:
    # averages over a hundred places: what is left is the class's, and the other half's average of the class is the nearest
    data = load_task_data(get_task("signals-mlp"))
    first, second = data.train.inputs[:1_000], data.train.inputs[1_000:]
    means = [
        torch.stack([half[data.train.targets[:1_000] == c].mean(0) for c in range(10)]) for half in (first, second)
    ]
    nearest = torch.cdist(means[0], means[1]).argmin(1)
    assert nearest.tolist() == list(range(10))


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    theirs, labels = datasets.load_digits(return_X_y=True)
    data = load_task_data(get_task("digits-mlp"))
    ours = {
        (*row, label)
        for split in (data.train, data.validation, data.test)
        for row, label in zip((split.inputs * 16).tolist(), split.targets.tolist(), strict=True)
    }
    assert ours == {(*row, label) for row, label in zip(theirs.tolist(), labels.tolist(), strict=True)}


def test_data_are_loaded_once_for_all_budgets() -> None:
    task = get_task("digits-mlp")
    assert load_task_data(task) is load_task_data(task.with_budget(steps=10))


def test_an_unknown_task_lists_the_valid_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task 'digits'; choose one of digits-mlp, digits-wide, .*, mnist-mlp, "
    ):
        get_task("digits")


def test_own_tasks_are_found_by_name_and_may_not_take_a_shipped_one() -> None:
    task = register_task(small_task(name="registered-by-a-test"))
    assert get_task("registered-by-a-test") is task
    with pytest.raises(ValueError, match="name of a shipped task"):
        register_task(small_task(name="digits-mlp"))


def test_batches_larger_than_the_training_split_are_refused_with_the_sizes() -> None:
    with pytest.raises(ValueError, match=r"batch_size=...\) must be at most the 20 training examples .* but got 21"):
        load_task_data(small_task(batch_size=21))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "My Task"),
        ("description", "two\nlines"),
        ("batch_size", 0),
        ("steps", 0),
        ("steps", 1.5),
        ("halving", ((10, 1),)),
        ("halving", ((5, 2), (5, 1))),
        ("halving", ((2, 1), (5, 2))),
        ("halving", ((2, 0),)),
        ("loss_bound", float("nan")),
        ("worst_reward", 1.0),
        ("metric", "f1"),
    ],
)
def test_a_bad_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Task\({field}="):
        small_task(**{field: value})


def test_a_budget_scales_the_halving() -> None:
    task = get_task("digits-mlp")
    assert task.with_budget(steps=300).halving == ((50, 4), (150, 2))
    assert task.with_budget(steps=3).halving == ((1, 4), (2, 2))
    assert task.with_budget(steps=2).halving == ((1, 2),)  # both fall on step 1, the stricter stays
    assert task.with_budget(steps=1).halving == ()
    assert task.with_budget(steps=150) == task


def test_bad_splits_are_refused() -> None:
    x, y = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)
    for inputs, targets, fault in [
        (x.double(), y, "inputs=...\\) must be float32 or int64, but got torch.float64"),
        (x, y.double(), "targets=...\\) must be int64 class numbers or float32 numbers"),
        (x, y.int(), "targets=...\\) must be int64 class numbers or float32 numbers"),
        (x, y[0], "targets=...\\) must be int64 class numbers or float32 numbers, .* of shape \\(\\)"),
        (x[:2], y, "inputs=...\\) must have shape \\(3, ...\\)"),
        (x[:0], y[:0], "at least one example"),
    ]:
        with pytest.raises(ValueError, match=fault):
            Split(inputs, targets)


def test_a_split_used_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"TaskData\(train=..., test=...\) must be disjoint, but 6 of the 6"):
        TaskData.of(numbered(0, 20), numbered(20, 6), numbered(3, 6))


def test_an_unknown_activation_and_too_few_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"activation=...\) must be one of relu, sigmoid, tanh, but got 'gelu'"):
        MLP((2, 2), "gelu")  # type: ignore[arg-type]  # the test is about this  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"sizes=...\)"):
        MLP((2,))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_flat_row_in_parameter_order_is_the_whole_model(activation: Any) -> None:
    mlp = MLP((4, 3, 2), activation)
    task = small_task(model=mlp)
    row = initial_weights(task, seed=5)
    assert row.shape == (mlp.parameter_count,)
    assert row.dtype == torch.float32
    sizes = [torch.Size(shape).numel() for shape in mlp.parameter_shapes]
    w1, b1, w2, b2 = (x.view(shape) for x, shape in zip(torch.split(row, sizes), mlp.parameter_shapes, strict=True))
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    hidden = getattr(torch, activation)(x @ w1.T + b1)
    torch.testing.assert_close(hidden @ w2.T + b2, build_model(task, seed=5)(x))


@pytest.mark.parametrize("name", SHIPPED)
def test_models_depend_on_the_seed_alone_and_leave_the_global_generator_alone(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = initial_weights(get_task(name), seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(initial_weights(get_task(name), seed=3), first)
    assert not torch.equal(initial_weights(get_task(name), seed=4), first)


def test_models_start_as_torch_starts_them() -> None:
    torch.manual_seed(3)
    expected = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    torch.testing.assert_close(
        build_model(get_task("digits-mlp"), seed=3).state_dict(), expected.state_dict(), rtol=0, atol=0
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 60), st.integers(0, 2**32))
def test_batches_are_epochs_without_repetition(n: int, batch: int, steps: int, seed: int) -> None:
    batch = min(batch, n)
    order = batch_order(n, batch, steps, seed)
    assert order.shape == (steps, batch)
    assert order.dtype == torch.int64
    for epoch in torch.split(order, n // batch):
        assert len(set(epoch.flatten().tolist())) == epoch.numel()
        assert ((epoch >= 0) & (epoch < n)).all()


def test_batches_are_a_function_of_the_seed() -> None:
    before = torch.get_rng_state()
    one, same, other = (batch_order(1_000, 64, 150, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(batch_order(1_000, 64, 20, 0), one[:20])  # a longer budget begins like a shorter one
    with pytest.raises(ValueError, match=r"batch_size=...\) must be between 1 and n_train = 3, but got 4"):
        batch_order(3, 4, 1, 0)


def test_accuracy_and_loss_of_many_models_are_those_of_each() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 8, 3, generator=generator)
    targets = torch.randint(3, (8,), generator=generator)
    for k in range(5):
        assert accuracy(logits, targets)[k] == (logits[k].argmax(1) == targets).float().mean()
        torch.testing.assert_close(cross_entropy(logits, targets)[k], functional.cross_entropy(logits[k], targets))


def test_a_row_with_nan_is_a_wrong_answer() -> None:
    assert accuracy(torch.full((4, 3), torch.nan), torch.zeros(4, dtype=torch.int64)) == 0


def test_hashes_see_values_types_and_shapes() -> None:
    x = torch.arange(6.0)
    others: list[Tensor] = [x.double(), x.view(2, 3), x + 1, -x]
    assert len({hash_tensors(x), *(hash_tensors(other) for other in others)}) == 5
    assert hash_tensors(x.view(2, 3).t()) == hash_tensors(x.view(2, 3).t().contiguous())
    assert hash_tensors(x, x) != hash_tensors(x)
    assert hash_tensors(torch.zeros(0)) == hash_tensors(torch.zeros(0))


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(neuropt.tasks.__path__)])
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"neuropt.tasks.{module}")).failed == 0
