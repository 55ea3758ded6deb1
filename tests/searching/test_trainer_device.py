"""Guards whose children train on a device: it is tried in a fork before any rule is trained, and memory is watched and not refused.

No GPU is needed: a guard that is told to watch does so on a CPU too, and one that is told to use CUDA says what is missing.
"""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from neuropt.searching.guard import Guard
from neuropt.searching.guard_process import GuardProcess, WorkerError
from neuropt.searching.limits import Limits
from neuropt.searching.trainer_device import DeviceError
from neuropt.training.work import Done, Job, Work, do_work
from tests.searching import faults
from tests.searching.faults import FAULTS, FAULTY, FAULTY_DATA, MEGABYTE, Faulty, job
from tests.searching.searches import TASK
from tests.searching.test_guard import LIMITS, assert_it_costs_its_own_rule_alone

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
ONE = Work((job(None),), (0,), halving=False)


@pytest.fixture(scope="module")
def watching() -> Iterator[Guard]:
    guard = Guard(FAULTY, FAULTY_DATA, replace(LIMITS, share=0.25, watched=True))
    guard.begin()
    yield guard
    guard.close()


def test_a_trainer_that_is_only_watched_is_ended_when_it_fills_the_memory(watching: Guard) -> None:
    assert_it_costs_its_own_rule_alone(watching, faults.fill_and_hold, r"needed more than 0\.293 GiB of memory")


def test_memory_that_is_reserved_and_not_used_is_a_childs_own_business_where_it_is_watched(watching: Guard) -> None:
    done = watching.train(Work((job(faults.reserve),), (0,), halving=False))
    assert done.trained[0].failure is None, "CUDA reserves more than there is"


def test_a_rule_that_takes_more_than_its_share_of_a_gpu_is_told_so(watching: Guard) -> None:
    reason = r"needed more than its share of the GPU's memory, 0\.25 \(--gpus-per-child\)"
    assert_it_costs_its_own_rule_alone(watching, faults.take_the_gpu, reason)


def test_a_rule_that_breaks_the_gpu_for_its_process_takes_no_other_along(watching: Guard) -> None:
    work = Work(
        (job(None), job(faults.break_the_gpu), Job("0.2 * g", (1.0,))), (3, 4), False, form="rows", rules_together=3
    )
    done = watching.train(work)
    assert done.trained[1].failure == "RuntimeError: CUDA error: an illegal memory access was encountered"
    for i in (0, 2):
        assert done.trained[i] == do_work(replace(work, jobs=(work.jobs[i],)), FAULTY, FAULTY_DATA).trained[0]


def test_a_result_names_the_device_of_its_work(watching: Guard) -> None:
    assert watching.train(ONE).device == "cpu"
    assert watching.train(replace(ONE, device="cuda")).device == "cuda"


@no_gpu
def test_a_device_that_is_gone_is_no_rules_fault() -> None:
    guard = Guard(FAULTY, FAULTY_DATA, Limits(30.0, 300 * MEGABYTE, "cuda", watched=True))
    with pytest.raises(DeviceError, match="sees no CUDA device there"):
        guard.train(ONE)


def start_guard(task: object, *device: object) -> GuardProcess:
    return GuardProcess(pickle.dumps(task), None, (1_000.0, 300 * MEGABYTE), {}, device)  # type: ignore[arg-type]


@no_gpu
def test_a_worker_without_the_gpu_that_ray_gave_it_says_so_before_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    said = r"^a worker on \S+ cannot train: torch \S+ sees no CUDA device there, .*CUDA_VISIBLE_DEVICES is '3'[^\n]*$"
    with pytest.raises(WorkerError, match=said):
        start_guard(TASK, "cuda", 0.25)


def model_until(flag: Path) -> nn.Module:
    if flag.exists():
        raise RuntimeError("the driver is gone")
    return Faulty(FAULTS)


@pytest.mark.slow
def test_a_device_that_fails_later_ends_the_search_and_blames_nobody(tmp_path: Path) -> None:
    flag = tmp_path / "gone"
    guard = start_guard(replace(FAULTY, model=partial(model_until, flag)), "cpu", 0.5)
    broken = replace(ONE, jobs=(job(faults.raise_an_error),))
    done = Done.from_json(guard.train(broken.to_json()))
    assert done.trained[0].failure == "ValueError: this model is broken"  # after which a fresh trainer begins
    flag.touch()
    with pytest.raises(
        WorkerError, match=r"cannot train: device cpu cannot be used: RuntimeError: the driver is gone$"
    ):
        guard.train(ONE.to_json())
