"""Devices: training elsewhere waits for nothing and mixes nothing; what is not here is refused in one line; memory is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import backend_registration

from neuropt.tasks.task import MLP
from neuropt.training.devices import CPU, Generator, device_name, find_device, placed
from neuropt.training.sizing import ChildBytes, child_bytes, children_that_fit, rules_that_fit
from neuropt.training.train import train_rules
from search_space import parse_rule
from tests.training.small_models import CLASSES, ROWS, family, task_of

needs_fake_devices = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch cannot make up a device",
)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


LOOPS = ("plain", "population", "rows", "channels-last", "batched")


@needs_fake_devices
def test_no_training_loop_waits_for_the_device_or_leaves_it() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.training.faraway", *LOOPS, "reading", "sending"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    # the last two are models that read and send, to see that they would be noticed
    faults = ["reading a number was read back", "sending aten._to_copy.default copies to the device and waits"]
    expected = [*(f"{loop} done" for loop in LOOPS), *faults]
    assert result.stdout.splitlines() == expected, result.stderr[-2_000:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "device must be cpu, cuda or cuda:NUMBER, but got 'gpu'"),
        ("cuda:", "device must be cpu, cuda or cuda:NUMBER, but got 'cuda:'"),
        ("cuda:-1", "device must be cpu, cuda or cuda:NUMBER, but got 'cuda:-1'"),
        ("cuda:97", r"device cuda:97 is not here: torch .* sees \d+ GPUs; use device cpu"),
    ],
)
def test_a_device_that_is_not_here_is_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_device(name)


def test_data_on_the_cpu_are_not_copied() -> None:
    assert placed(ROWS.train, CPU) is ROWS.train
    assert device_name(CPU) == "cpu"


def test_a_generator_goes_on_where_it_was_and_leaves_torchs_own() -> None:
    before = torch.get_rng_state()
    one, other = Generator(3, CPU), Generator(3, CPU)
    with one.used():
        torch.rand(2)
    with one.used():
        second = torch.rand(2)
    with other.used():
        torch.rand(2)
        assert torch.equal(torch.rand(2), second)
    assert torch.equal(before, torch.get_rng_state())


# -- memory ------------------------------------------------------------------------------------------------------------------------------


def test_a_linear_childs_bytes_by_hand() -> None:
    # weights 12 x 4 and 4, in float32: 4 * 52 = 208. Saved, for a batch of 8: the inputs (8, 12), log p (8, 4), and the class numbers
    # as indices, 8 int64 (a view of the batch's targets): 4 * 96 + 4 * 32 + 8 * 8 = 576
    need = child_bytes(task_of("linear", lambda: nn.Linear(12, CLASSES), ROWS), ROWS)
    assert need == ChildBytes(row=208, saved=576)
    assert need.total == 6 * 208 + 2 * 576


def test_more_memory_holds_more_children_and_one_is_always_tried() -> None:
    need = ChildBytes(row=100, saved=200)  # 6 * 100 + 2 * 200 = 1,000 bytes
    fit: Callable[[int], int] = lambda free: children_that_fit(need, free)  # noqa: E731  # shorter than the assertion
    assert [fit(0), fit(1_999), fit(4_000), fit(1_000_000)] == [1, 1, 2, 500]


def test_a_larger_batch_needs_more() -> None:
    small, large = (task_of("mlp", MLP((12, 5, CLASSES)), ROWS) for _ in range(2))
    object.__setattr__(large, "batch_size", 16)
    assert child_bytes(large, ROWS).saved == 2 * child_bytes(small, ROWS).saved
    assert child_bytes(large, ROWS).row == child_bytes(small, ROWS).row


def test_on_a_cpu_memory_bounds_nothing() -> None:
    assert rules_that_fit(*family("conv"), children_a_rule=7, device=CPU) is None


# -- where there is a GPU ------------------------------------------------------------------------------------------------------------------


class _Dropped(nn.Linear):
    def __init__(self) -> None:
        super().__init__(12, CLASSES)

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(super().forward(input), 0.5, self.training)


@needs_gpu
@pytest.mark.parametrize("form", ["plain", "rows", "channels-last", "batched"])
def test_a_gpu_gives_the_numbers_of_the_cpu(form: str) -> None:
    task, data = family("conv", double=True)
    here, there = (
        train_rules(task, data, [parse_rule("adam")], [[1e-3]], [1], form=form, device=torch.device(d))[0][0][0]  # type: ignore[arg-type]  # a form's name
        for d in ("cpu", "cuda")
    )
    assert there.loss == pytest.approx(here.loss, rel=1e-6)


@needs_gpu
def test_dropout_on_a_gpu_is_a_function_of_the_seed() -> None:
    task = task_of("dropped", _Dropped, ROWS)
    first, again = (
        train_rules(task, ROWS, [parse_rule("g")], [[1e-2]], [1], form="plain", device=torch.device("cuda"))
        for _ in range(2)
    )
    assert first == again


@needs_gpu
def test_a_gpu_holds_many_rules() -> None:
    rules = rules_that_fit(*family("conv"), children_a_rule=7, device=torch.device("cuda"))
    assert rules is not None
    assert rules > 10
