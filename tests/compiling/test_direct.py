"""Machine code called on whole parameters: only while nothing has changed since they were prepared."""

from __future__ import annotations

import copy
import cProfile
import gc
import math
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from neuropt.compiling.compiled import Compiled, compiled_step, kernel_of
from neuropt.compiling.forms import _PREPARED
from neuropt.compiling.machine_code import machine_code
from neuropt.compiling.rule_optimizer import RuleOptimizer
from search_space import zoo
from tests.compiling.compilers import needs_compiler

pytestmark = needs_compiler

ADAM = zoo()["adam"]
CLOSE = 1e-6
CPU = torch.device("cpu")


def pair(*shapes: tuple[int, ...]) -> tuple[RuleOptimizer, RuleOptimizer]:
    """Return the loop and the fused form after two steps, the second of them prepared."""
    torch.manual_seed(0)
    start = [torch.randn(shape) for shape in shapes]
    loop, fused = (
        RuleOptimizer([x.clone().requires_grad_() for x in start], ADAM, lr=0.01, fused=form) for form in (None, True)
    )
    for t in range(2):
        step(loop, fused, wave(t))
    return loop, fused


def step(loop: RuleOptimizer, fused: RuleOptimizer, gradient: Callable[[Tensor], Tensor]) -> None:
    for optimizer in (loop, fused):
        for w in parameters(optimizer):
            w.grad = gradient(w)
        optimizer.step()


def parameters(optimizer: RuleOptimizer) -> list[Tensor]:
    return [w for group in optimizer.param_groups for w in group["params"]]


def assert_equal(loop: RuleOptimizer, fused: RuleOptimizer) -> None:
    for w, x in zip(parameters(loop), parameters(fused), strict=True):
        torch.testing.assert_close(x, w, rtol=CLOSE, atol=CLOSE)
        for name, kept in loop.state[w].items():
            torch.testing.assert_close(fused.state[x][name], kept, rtol=CLOSE, atol=CLOSE, check_dtype=False)


def prepared(optimizer: RuleOptimizer) -> int:
    return sum(len(known) for known in _PREPARED[optimizer].values())


def adam() -> Compiled:
    return compiled_step(kernel_of(ADAM.text, torch.float32, torch.float32, CPU, False), torch.float32, "few", 1)


def test_machine_code_alone_does_a_whole_step() -> None:
    found = adam()
    assert found.code is not None
    for size in (0, 1, 2, 15, 16, 17, 1000):
        g, numbers = torch.randn(size), found.kernel.numbers(0.1, [1.5] * len(found.kernel.program.kinds))
        ours, theirs = ([torch.ones(size), torch.full((size,), 0.5), torch.full((size,), 2.0)] for _ in range(2))
        given = [ours[0], g, numbers, None, *ours[1:], size]
        found.code.function(*[given[place] for place in found.code.places])
        if size > 1:
            found.run(theirs[0], g, numbers, None, *theirs[1:])
            assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
        assert size == 0 or not torch.equal(ours[0], torch.ones(size))


def test_a_rule_with_reductions_works_in_no_memory_but_for_its_sums() -> None:
    text = zoo()["adagraft-sgd-adam"].text
    code = compiled_step(kernel_of(text, torch.float32, torch.float32, CPU, False), torch.float32, "few", 1).code
    assert code is not None  # nor would it be machine code alone
    assert code.own == (torch.float32,) * 2


def test_several_pieces_of_machine_code_or_none_are_no_single_one() -> None:
    found = adam()
    x = [torch.ones(37) * i for i in range(4)]
    arguments = [x[0], x[1], found.kernel.numbers(0.1, [1.0] * len(found.kernel.program.kinds)), None, *x[2:]]
    assert machine_code(found.run, arguments) is not None
    assert machine_code(lambda *given: (found.run(*given), found.run(*given)), arguments) is None
    assert machine_code(lambda *given: given[0].add_(1), arguments) is None
    assert (
        machine_code(lambda *given: found.run(given[0].clone(), *given[1:]), arguments) is None
    )  # a tensor of its own


def test_a_profiler_goes_on_while_machine_code_is_looked_for() -> None:
    found = adam()
    x = [torch.ones(37) * i for i in range(4)]
    arguments = [x[0], x[1], found.kernel.numbers(0.1, [1.0] * len(found.kernel.program.kinds)), None, *x[2:]]
    profile = cProfile.Profile()
    profile.enable()
    got = machine_code(found.run, arguments)
    math.hypot(3.0, 4.0)
    profile.disable()
    assert got == found.code
    assert any("hypot" in str(entry.code) for entry in profile.getstats())


def test_parameters_are_prepared_once() -> None:
    loop, fused = pair((40, 50), (3,), (1,), (), (0,))
    assert prepared(fused) == 5
    assert loop not in _PREPARED
    assert_equal(loop, fused)


def moved(optimizer: RuleOptimizer, change: Callable[[Tensor], Tensor]) -> None:
    for w in parameters(optimizer):
        w.data = change(w.data)


def kept(optimizer: RuleOptimizer, change: Callable[[dict[str, Any]], object]) -> None:
    for w in parameters(optimizer):
        change(optimizer.state[w])


def in_place(state: dict[str, Any]) -> None:
    state["ema_1"].data = state["ema_1"].double()


def another_state(optimizer: RuleOptimizer) -> None:
    for w in parameters(optimizer):
        optimizer.state[w] = dict(optimizer.state[w])


CHANGES: dict[str, Callable[[RuleOptimizer], object]] = {
    "type": lambda o: moved(o, Tensor.double),
    "memory": lambda o: moved(o, Tensor.clone),
    "order": lambda o: moved(o, lambda x: x.t().contiguous().t() if x.dim() == 2 else x),
    "state": lambda o: kept(o, lambda state: state.update({name: x.clone() for name, x in state.items()})),
    "type of state": lambda o: kept(o, lambda state: state.update(ema_1=state["ema_1"].double())),
    "type of state in place": lambda o: kept(o, in_place),
    "whole state": another_state,
    "step": lambda o: kept(o, lambda state: state["step"].fill_(7.0)),
    "another step": lambda o: kept(o, lambda state: state.update(step=torch.tensor(7.0))),
    "no state": lambda o: o.state.clear(),
    "loaded": lambda o: o.load_state_dict(copy.deepcopy(o.state_dict())),
    "lr 0": lambda o: o.param_groups[0].update(lr=0.0),
    "maximize": lambda o: o.param_groups[0].update(maximize=True),
    "hyperparameters": lambda o: o.param_groups[0].update(beta1=0.5, eps=0.1),
}


def wave(t: int) -> Callable[[Tensor], Tensor]:
    return lambda w: torch.sin(torch.arange(w.numel()) * 0.7 + t).view(w.shape).to(w.dtype)


@pytest.mark.parametrize("what", CHANGES)
def test_what_has_changed_is_looked_up_again(what: str) -> None:
    loop, fused = pair((40, 50), (7,), (1,))
    for optimizer in (loop, fused):
        CHANGES[what](optimizer)
    for t in range(2):
        step(loop, fused, wave(t))
    assert_equal(loop, fused)


def test_a_parameter_may_change_its_type_under_its_gradient() -> None:
    loop, fused = pair((40, 50), (7,))
    for optimizer in (loop, fused):
        moved(optimizer, Tensor.double)
        optimizer.step()
    assert_equal(loop, fused)


def test_numbers_are_remembered_in_the_state_that_is_there() -> None:
    w = torch.ones(3, requires_grad=True)
    optimizer = RuleOptimizer([w], "b = 0.5 * prev(b, 1); u = b * g", lr=1.0, fused=True)
    for _ in range(4):
        optimizer.state[w] = dict(optimizer.state[w])
        w.grad = torch.ones(3)
        optimizer.step()
    assert torch.equal(w, torch.full((3,), 0.0625))  # 1 - 1/2 - 1/4 - 1/8 - 1/16
    assert optimizer.state[w]["b"] == 0.0625


@pytest.mark.parametrize("size", [1, 5, 5000])
def test_what_is_remembered_as_it_is_was_not_written_before(size: int) -> None:
    """w is 3, 2, 1, 0; m lags one step behind it, and k two; a compiler may lose a copy, and remember what is there in the end."""
    w = torch.full((size,), 3.0, requires_grad=True)
    optimizer = RuleOptimizer([w], "m = w; k = prev(m); d = g; u = g + 0 * prev(k) + 0 * prev(d)", lr=1.0, fused=True)
    for m, k in ((3.0, 0.0), (2.0, 3.0), (1.0, 2.0)):
        w.grad = torch.ones(size)
        optimizer.step()
        state = optimizer.state[w]
        assert [x[0].item() for x in (w, state["m"], state["k"], state["d"])] == [m - 1, m, k, 1.0]
        assert all((x == x[0]).all() for x in (w, state["m"], state["k"], state["d"]))


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "expanded": lambda w: torch.ones(1).expand(w.shape),
    "transposed": lambda w: torch.arange(float(w.numel())).view(w.shape[::-1]).t(),
    "with gaps": lambda w: torch.arange(2.0 * w.numel()).view(*w.shape[:-1], -1)[..., ::2],
    "the parameter itself": lambda w: w.detach(),
    "half of a larger tensor": lambda w: torch.arange(2.0 * w.numel())[: w.numel()].view(w.shape),
}


@pytest.mark.parametrize("what", GRADIENTS)
def test_gradients_that_lie_in_another_order(what: str) -> None:
    loop, fused = pair((40, 50), (6, 6))
    step(loop, fused, GRADIENTS[what])
    step(loop, fused, torch.ones_like)
    assert_equal(loop, fused)


def test_a_parameter_of_another_size_is_refused_and_not_written_beyond() -> None:
    _, fused = pair((5000,))
    (w,) = parameters(fused)
    w.grad, whole = None, w.data
    w.data = whole[:10]
    w.grad = torch.ones(10)
    before = whole.clone()
    with pytest.raises(RuntimeError, match="has 5000 elements, but its parameter needs 10"):
        fused.step()
    assert torch.equal(whole, before)


def test_gradients_come_and_go() -> None:
    loop, fused = pair((40, 50), (7,))
    for t in range(6):
        for optimizer in (loop, fused):
            for i, w in enumerate(parameters(optimizer)):
                w.grad = None if (i + t) % 3 == 0 else torch.full_like(w, 0.1 * t)
            optimizer.step()
    assert_equal(loop, fused)


def test_a_gradient_is_freed_and_so_are_parameters_that_leave() -> None:
    _, fused = pair((40, 50), (7,))
    w = parameters(fused)[0]
    w.grad = torch.ones(40, 50)
    fused.step()
    gradient = weakref.ref(w.grad)
    w.grad = None
    assert gradient() is None
    place = weakref.ref(w)
    fused.state.pop(w)
    del fused.param_groups[0]["params"][0], w
    fused.param_groups[0]["params"][0].grad = torch.ones(7)
    fused.step()
    gc.collect()
    assert place() is None


def test_a_copy_prepares_its_own_parameters() -> None:
    loop, fused = pair((40, 50))
    twin = copy.deepcopy(fused)
    before = parameters(fused)[0].clone()
    parameters(twin)[0].grad = torch.ones(40, 50)
    twin.step()
    assert torch.equal(parameters(fused)[0], before)
    step(loop, fused, torch.ones_like)
    torch.testing.assert_close(parameters(twin), parameters(fused), rtol=0, atol=0)


def test_draws_are_of_the_elements_in_their_plain_order() -> None:
    start = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    optimizers = [
        RuleOptimizer([start.clone().requires_grad_()], "drop(g, 0.5)", lr=1.0, fused=f) for f in (None, True)
    ]
    for _ in range(2):
        for optimizer in optimizers:
            (w,) = parameters(optimizer)
            w.grad = torch.ones_like(w)
            optimizer.step()
    assert torch.equal(parameters(optimizers[0])[0], parameters(optimizers[1])[0])
