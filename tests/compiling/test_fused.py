"""Compiled steps: the same numbers as the loop, one compilation, no memory, and a way out where nothing compiles."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, distribute_tensor

from controllers import create_controller
from neuropt.compiling.due import Due, GroupStep
from neuropt.compiling.execution import execution_of
from neuropt.compiling.fused import _sorted
from neuropt.compiling.rule_optimizer import RuleOptimizer
from search_space import Rule, load_space, zoo
from tests.compiling.compilers import needs_compiler
from tests.compiling.test_rule_optimizer import saved_and_loaded

ROOT = Path(__file__).parents[2]
ADAM, POWERSIGN = zoo()["adam"], zoo()["powersign-ld"]
REDUCING = "s = 0.9 * prev(s) + norm(g); u = m / s + mean(w) * g + dot(g, w) * 1e-3"
DRAWING = "b = 0.9 * prev(b, 1); u = (drop(g, 0.3) + noise(0.1)) * (1 - b)"

EPSILON = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def starts(dtype: torch.dtype) -> list[Tensor]:
    """Parameters of all shapes and layouts: empty, single, small, larger than what is gathered, permuted, with gaps."""
    torch.manual_seed(0)
    shapes = [(), (0,), (1,), (3, 4), (7,), (2, 0), (90, 100), (5, 3, 3)]
    made = [torch.randn(shape, dtype=dtype) for shape in shapes]
    made += [torch.randn(2, 8, 30, 20, dtype=dtype).to(memory_format=torch.channels_last)]
    made += [torch.randn(100, 100, dtype=dtype)[:, ::2], torch.randn(4, 6, dtype=dtype).t()]
    return made


def pair(
    rule: Rule | str, dtype: torch.dtype = torch.float32, **options: Any
) -> tuple[RuleOptimizer, RuleOptimizer, Callable[[int], None]]:
    """Return the loop, the fused form, and a step of both along the same gradients."""
    optimizers = list[RuleOptimizer]()
    forms: list[dict[str, Any]] = [{}, {"fused": True}]
    for form in forms:
        w = [x.clone().requires_grad_() if x.is_contiguous() else x.detach().requires_grad_() for x in starts(dtype)]
        options = {"lr": 0.01, "decay_steps": 20} | options
        groups: list[dict[str, Any]] = [{"params": w[:8]}, {"params": w[8:], "lr": 0.02}]
        optimizers.append(RuleOptimizer(groups, rule, **options, **form))

    def step(t: int) -> None:
        for optimizer in optimizers:
            torch.manual_seed(t)
            for i, w in enumerate(parameters(optimizer)):
                g = torch.randn(w.shape, dtype=w.dtype)
                w.grad = None if (i + t) % 4 == 0 else g  # some come late, and pause
            optimizer.step()

    return optimizers[0], optimizers[1], step


def parameters(optimizer: RuleOptimizer) -> list[Tensor]:
    return [w for group in optimizer.param_groups for w in group["params"]]


def differences(a: RuleOptimizer, b: RuleOptimizer) -> Iterator[tuple[str, float]]:
    """Give the largest difference of every tensor, relative to max(1, |x|)."""
    for i, (w, x) in enumerate(zip(parameters(a), parameters(b), strict=True)):
        one, other = a.state[w], b.state[x]
        assert one.keys() == other.keys()
        for name, value in {"w": w, **one}.items():
            got = x if name == "w" else other[name]
            assert type(value) is type(got)
            if isinstance(value, Tensor):
                value, got = value.detach(), got.detach()
                assert (value.dtype, value.shape) == (got.dtype, got.shape)
                scale = value.abs().clamp(min=1.0)
                yield f"{name} {i}", float(((value - got).abs() / scale).max()) if value.numel() else 0.0
            else:
                assert value == got


def assert_equal(a: RuleOptimizer, b: RuleOptimizer, tolerance: float) -> None:
    assert {name: x for name, x in differences(a, b) if not x <= tolerance} == {}


@needs_compiler
@pytest.mark.parametrize("rule", [ADAM, POWERSIGN, DRAWING], ids=["adam", "powersign-ld", "drawing"])
def test_fused_steps_equal_the_loop(rule: Rule | str) -> None:
    """What is remembered is the same to the last bit; parameters differ by the rounding of lr * u, an ulp a step."""
    loop, fused, step = pair(rule)
    for t in range(6):
        step(t)
    assert_equal(loop, fused, 6 * EPSILON[torch.float32])
    remembered = {name: x for name, x in differences(loop, fused) if not name.startswith("w ")}
    assert set(remembered.values()) == {0.0}


@needs_compiler
def test_sums_of_reducing_rules_are_in_another_order() -> None:
    loop, fused, step = pair(REDUCING, lr=1e-3)
    for t in range(4):
        step(t)
    assert_equal(loop, fused, 1e-5)


@needs_compiler
@pytest.mark.parametrize("result", ["u = x25 / norm(x25)", pytest.param("u = x25", marks=pytest.mark.slow)])
def test_a_rule_whose_values_are_used_again_and_again_compiles(result: str) -> None:
    """Written out, x25 has 10^8 operations."""
    chain = "x0 = g; " + "".join(f"x{i + 1} = tanh(x{i} * (x{i} + 1)); " for i in range(25))
    loop, fused, step = pair(chain + result, lr=1e-3)
    step(0)
    assert_equal(loop, fused, 1e-5)


@needs_compiler
def test_half_precision_is_computed_and_remembered_in_single() -> None:
    loop, fused, step = pair(ADAM, torch.bfloat16, maximize=True)
    for t in range(3):
        step(t)
    assert_equal(loop, fused, EPSILON[torch.bfloat16])


@needs_compiler
def test_complex_parameters_are_pairs_of_real_ones() -> None:
    loop, fused, step = pair(ADAM, torch.complex64)
    for t in range(3):
        step(t)
    assert_equal(loop, fused, 6 * EPSILON[torch.float32])


@needs_compiler
def test_one_compilation_serves_all_sizes_rates_and_steps() -> None:
    from torch._dynamo.utils import counters

    rule = "beta = 0.9; k = 0.125; u = debiased(g, beta) * ld + k * w + 0.25 * lr * g"  # that no other test has
    w = [
        torch.randn(n).requires_grad_() for n in (2, 5000, 30_001)
    ]  # with several threads, larger ones have a kernel that shares its loop
    optimizer = RuleOptimizer(w, rule, lr=torch.tensor(0.1), decay_steps=50, fused=True)
    before = dict(counters["stats"])
    for t in range(50):
        optimizer.param_groups[0] |= {"lr": 0.1 / (t + 1), "beta": 0.5 + t / 100, "k": 0.01 * t}
        for i, x in enumerate(w):
            x.grad = torch.randn(x.shape) if t != i else None
        optimizer.step()
    assert counters["stats"]["unique_graphs"] - before.get("unique_graphs", 0) == 1


@needs_compiler
def test_a_fused_step_takes_no_memory_of_the_size_of_the_parameters() -> None:
    w = torch.randn(1000, 1000).requires_grad_()
    w.grad = torch.randn(1000, 1000)
    taken = {}
    for fused in (True, False):
        optimizer = RuleOptimizer([w], ADAM, fused=fused)
        optimizer.step()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            optimizer.step()
        taken[fused] = sum(max(0, event.self_cpu_memory_usage) for event in profile.events() or [])
    assert taken[True] < 10_000
    assert taken[False] > 4_000_000


@needs_compiler
def test_parameters_stay_where_they_are_and_show_that_they_changed() -> None:
    w = torch.ones(9000, requires_grad=True)
    place, version = w.data_ptr(), w._version
    optimizer = RuleOptimizer([w], ADAM, fused=True)
    w.grad = torch.ones(9000)
    optimizer.step()
    assert w.data_ptr() == place
    assert w._version > version
    assert torch.equal(w.grad, torch.ones(9000))


@needs_compiler
@pytest.mark.parametrize("value", [0.0, float("inf")])
def test_with_lr_0_parameters_stay_as_they_are(value: float) -> None:
    w = [torch.ones(n, requires_grad=True) for n in (2, 3, 9000)]
    optimizer = RuleOptimizer(w, ADAM, lr=0.0, fused=True)
    for x in w:
        x.grad = torch.full_like(x, value)
    optimizer.step()
    assert all(torch.equal(x, torch.ones_like(x)) for x in w)
    assert all(optimizer.state[x]["step"] == 1 for x in w)


@needs_compiler
@pytest.mark.parametrize("first_is_fused", [False, True])
def test_a_state_goes_on_in_the_other_form(first_is_fused: bool) -> None:
    loop, fused, step = pair(ADAM)
    for t in range(3):
        step(t)
    source, target = (fused, loop) if first_is_fused else (loop, fused)
    target.load_state_dict(saved_and_loaded(source.state_dict()))
    assert [group["fused"] for group in target.param_groups] == [None if first_is_fused else True] * 2
    with torch.no_grad():
        for w, x in zip(parameters(source), parameters(target), strict=True):
            x.copy_(w)
    for t in range(3, 6):
        step(t)
    assert_equal(loop, fused, 3 * EPSILON[torch.float32])


@needs_compiler
def test_a_state_in_another_dtype_is_taken_over() -> None:
    w = torch.ones(5000, requires_grad=True)
    w.grad = torch.ones(5000)
    optimizer = RuleOptimizer([w], "m", fused=True)
    optimizer.step()
    optimizer.state[w]["m"] = optimizer.state[w]["m"].double()
    optimizer.step()
    # m is 0.1, then 0.19
    assert torch.allclose(optimizer.state[w]["m"], torch.full((5000,), 0.19))


@needs_compiler
def test_a_state_of_another_size_is_refused() -> None:
    w = torch.ones(5000, requires_grad=True)
    w.grad = torch.ones(5000)
    optimizer = RuleOptimizer([w], "m", fused=True)
    optimizer.step()
    optimizer.state[w]["m"] = torch.zeros(10)
    with pytest.raises(RuntimeError, match="m has 10 elements, but its parameter needs 5000"):
        optimizer.step()


@needs_compiler
def test_parameters_that_are_other_tensors_take_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code would read where a DTensor has nothing."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    store = distributed.HashStore()  # type: ignore[attr-defined]  # documented, but not listed
    distributed.init_process_group("gloo", rank=0, world_size=1, store=store)
    try:
        mesh, found = DeviceMesh("cpu", [0]), list[Tensor]()
        for form in ({}, {"fused": True}):
            w = distribute_tensor(torch.ones(40, 30), mesh, [Shard(0)])
            w.requires_grad_()
            plain = torch.ones(40, 30, requires_grad=True)
            optimizer = RuleOptimizer([w, plain], ADAM, **form)
            for t in range(2):
                plain.grad = torch.full((40, 30), t + 1.0)
                w.grad = distribute_tensor(plain.grad, mesh, [Shard(0)])
                optimizer.step()
            found += [w.full_tensor().detach(), plain.detach()]
        assert torch.equal(found[0], found[2])
        assert torch.allclose(found[2], found[3])
    finally:
        distributed.destroy_process_group()


def test_a_tensor_that_32_bits_do_not_count_has_no_kernel_on_a_gpu() -> None:
    step = GroupStep("g", execution_of("g"), 0.1, lambda _: {})
    longest = torch.empty(2**31, device="meta")
    for w, is_alone in ((longest, True), (longest[1:], False)):
        pieces, large, alone = _sorted([Due(w, w, {}, 0, 0)], step)
        assert (pieces, len(large), len(alone)) == ([], not is_alone, is_alone)


def test_both_forms_at_once_are_refused() -> None:
    w = torch.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="foreach=True, fused=True"):
        RuleOptimizer([w], "g", foreach=True, fused=True)
    with pytest.raises(TypeError, match=r"RuleOptimizer\(fused=\.\.\.\) must be True, False or None, but got 1"):
        RuleOptimizer([w], "g", fused=1)  # type: ignore[arg-type]


@pytest.mark.slow
def test_without_a_compiler_there_is_one_warning_and_the_loop(tmp_path: Path) -> None:
    script = """
        import warnings, torch
        from neuropt import RuleOptimizer
        from neuropt.optimizers import Lion
        a, b, c, d = (torch.ones(9, requires_grad=True) for _ in range(4))
        forms = [RuleOptimizer([a], "adam", fused=True), RuleOptimizer([b], "adam"), Lion([c], fused=True), Lion([d])]
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(3):
                for w, optimizer in zip((a, b, c, d), forms):
                    w.grad = torch.ones(9)
                    optimizer.step()
        assert torch.equal(a, b) and torch.equal(c, d)
        print(*(warning.message for warning in seen), sep="\\n")
    """
    env = {**os.environ, "PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    env.pop("CXX", None)
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("fused=True, but nothing can be compiled here (")
    assert line.endswith("); steps run uncompiled.")


HALVES_AND_DOUBLES = ["adam", "lion", "powersign-cd", "adagraft-adam-sgd", "bello-09", "addsign"]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float32) for name in zoo()]
    + list(zip(HALVES_AND_DOUBLES, cycle([torch.float16, torch.bfloat16, torch.float64]))),  # a compilation each
    ids=str,
)
def test_every_rule_of_the_zoo_is_fused(name: str, dtype: torch.dtype) -> None:
    loop, fused, step = pair(zoo()[name], dtype, lr=1e-3)
    for t in range(4):
        step(t)
    # rules with reductions sum in another order, and in float32 the last bit of a power or exponential is another one too
    assert_equal(loop, fused, 64 * EPSILON[dtype])


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_random_rules_of_the_wider_space_equal_the_loop(number: int) -> None:
    """In float64. A rule that an ulp in its parameters drives elsewhere, such as one under the sign of a sum, says nothing."""
    space = load_space("extended")
    (proposal,) = create_controller("random", space, number).ask(1)
    loop, fused, step = pair(space.decode(proposal.tokens), torch.float64, lr=1e-3)
    moved, _, step_moved = pair(space.decode(proposal.tokens), torch.float64, lr=1e-3)
    for w in parameters(moved):
        w.data.mul_(1 + 2.0**-52)
    for t in range(4):
        step(t)
        step_moved(t)
    agree = {name for name, x in differences(loop, moved) if x <= 1e-9}
    assert {name: x for name, x in differences(loop, fused) if name in agree and not x <= 1e-8} == {}
